"""How a product is shared by cores: pieces of one shape that cover it, begin where they may and aren't too small."""

import numpy as np
import pytest

from gemel.kernels.split import split_product


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_pieces_cover_the_product(rng: np.random.Generator, cores: int) -> None:
    for _ in range(200):
        m, n = (int(x) for x in rng.integers(1, 400, 2))
        granules = tuple(int(x) for x in rng.choice([1, 2, 128], 2))
        split = split_product(m, n, cores, tile=32, row_granule=granules[0], column_granule=granules[1])
        covered = np.zeros((m, n), np.int64)
        for row, column in split.starts:
            assert row % granules[0] == 0 and column % granules[1] == 0
            assert row + split.rows <= m and column + split.columns <= n
            covered[row : row + split.rows, column : column + split.columns] += 1
        assert covered.all()
        assert split.overlaps(m, n) == (covered > 1).any()
        assert split.cores <= cores
        assert split.cores == 1 or min(split.rows, m) >= 32 or min(split.columns, n) >= 32


def test_the_longer_side_is_cut() -> None:
    assert split_product(512, 512, 4, tile=32).starts == ((0, 0), (128, 0), (256, 0), (384, 0))
    assert split_product(8, 512, 2, tile=32).starts == ((0, 0), (0, 256))
    assert split_product(100, 64, 3, tile=32).starts == ((0, 0), (34, 0), (66, 0))
    assert split_product(40, 40, 4, tile=32).cores == 1
