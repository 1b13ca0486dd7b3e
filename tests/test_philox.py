"""Philox against the known-answer vectors that Random123 publishes (kat_vectors, philox4x32 10)."""

import numpy as np
import pytest

from gemel_golden.philox import element_words, philox4x32, rounding_bits

VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> np.ndarray:
    return np.array([int(x, 16) for x in text.split()], np.uint32)


def test_published_vectors_all_at_once() -> None:
    counters, keys, expected = (np.stack([words(v[i]) for v in VECTORS]) for i in range(3))
    np.testing.assert_array_equal(philox4x32(counters, keys), expected)


def test_an_element_has_its_word_of_its_counter() -> None:
    index = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [4 << 32, (4 << 32) + 1, (4 << 32) + 2, (4 << 32) + 3]], np.uint64)
    counters = np.array([[0, 0, 9, 0], [1, 0, 9, 0], [0, 1, 9, 0]])
    expected = philox4x32(counters, np.array([0x89ABCDEF, 0x01234567]))
    np.testing.assert_array_equal(element_words(0x0123456789ABCDEF, 9, index), expected)


def test_bits_do_not_depend_on_the_tiling(rng: np.random.Generator) -> None:
    index = np.arange(1000)
    whole = rounding_bits(7, 3, index, 16)
    order = rng.permutation(1000)
    np.testing.assert_array_equal(rounding_bits(7, 3, index[order], 16), whole[order])
    np.testing.assert_array_equal(whole, element_words(7, 3, index) >> 16)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=f"seed {1 << 64} doesn't fit 64 bits"):
        element_words(1 << 64, 0, 0)
    with pytest.raises(ValueError, match="tensor number -1 doesn't fit 32 bits"):
        element_words(0, -1, 0)
    with pytest.raises(ValueError, match="1 to 32 random bits, not 33"):
        rounding_bits(0, 0, 0, 33)
    with pytest.raises(ValueError, match=r"counters \(..., 4\) and keys \(..., 2\), not \(3,\) and \(2,\)"):
        philox4x32([0, 0, 0], [0, 0])
