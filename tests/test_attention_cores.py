"""Attention shared by cores of the golden chip: the bytes of one core and one head at a time, and who has what."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel import Device, Tensor
from gemel.driver.recording import recording
from gemel.kernels.attention import scaled_dot_product_attention
from gemel.kernels.attention_backward import scaled_dot_product_attention_backward
from gemel.kernels.attention_shares import Shares, share_heads

D = 32


@pytest.fixture(scope="module")
def quad() -> Iterator[Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as device:
        yield device


def operands(device: Device, rng: np.random.Generator, *sizes: tuple[int, int]) -> list[Tensor]:
    """Random tensors of so many tokens and heads."""
    return [gemel.tensor(device, rng.standard_normal((tokens, heads * D)), "bf16") for tokens, heads in sizes]


def columns(x: Tensor, head: int, heads: int = 1) -> Tensor:
    return x[:, head * D : (head + heads) * D]


def forward(*operands: Tensor, **options) -> tuple[Tensor, Tensor]:
    """The result and its logarithms."""
    found = scaled_dot_product_attention(*operands, return_logarithms=True, **options)
    assert isinstance(found, tuple)
    return found


CASES = [
    (2, 2, 70, 130, True),
    (4, 2, 64, 96, False),
    (1, 1, 100, 90, False),
    (6, 3, 40, 40, True),
    (5, 1, 8, 300, False),
]
"""Heads, heads of keys, queries, keys, causal."""


@pytest.mark.parametrize(("heads", "kv_heads", "queries", "keys", "causal"), CASES)
def test_heads_on_any_number_of_cores(
    quad: Device, rng: np.random.Generator, heads: int, kv_heads: int, queries: int, keys: int, causal: bool
) -> None:
    q, k, v = operands(quad, rng, (queries, heads), (keys, kv_heads), (keys, kv_heads))
    alone: list[tuple[np.ndarray, np.ndarray]] = []
    for head in range(heads):
        kv = head * kv_heads // heads
        parts = columns(q, head), columns(k, kv), columns(v, kv)
        out, logarithms = forward(*parts, causal=causal, cores=1)
        alone.append((out.codes(), logarithms.codes()))
    expected = [np.concatenate(each, axis) for axis, each in ((1, [a for a, _ in alone]), (0, [b for _, b in alone]))]
    for cores in (1, 2, 3):
        found = forward(q, k, v, heads=heads, kv_heads=kv_heads, causal=causal, cores=cores)
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got.codes(), want)


@pytest.mark.parametrize(("heads", "kv_heads", "key_length"), [(3, 3, 50), (4, 2, None)])
def test_gradients_on_any_number_of_cores(
    quad: Device, rng: np.random.Generator, heads: int, kv_heads: int, key_length: int | None
) -> None:
    q, k, v, grad = operands(quad, rng, (40, heads), (70, kv_heads), (70, kv_heads), (40, heads))
    options = {"causal": True, "key_length": key_length}
    out, logarithms = forward(q, k, v, heads=heads, kv_heads=kv_heads, **options)
    group, alone = heads // kv_heads, []
    for kv in range(kv_heads):
        grads, queries, outs = (columns(x, kv * group, group) for x in (grad, q, out))
        own = logarithms[kv * group : (kv + 1) * group]
        alone.append(
            scaled_dot_product_attention_backward(
                grads, queries, columns(k, kv), columns(v, kv), outs, own, heads=group, kv_heads=1, cores=1, **options
            )
        )
    expected = [np.concatenate([x.codes() for x in each], 1) for each in zip(*alone, strict=True)]
    for cores in (1, 2, 3):
        found = scaled_dot_product_attention_backward(
            grad, q, k, v, out, logarithms, heads=heads, kv_heads=kv_heads, cores=cores, **options
        )
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got.codes(), want)


def test_one_launch_has_all_heads(rng: np.random.Generator) -> None:
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        q, k, v, grad = operands(device, rng, *[(40, 8)] * 4)
        out, logarithms = forward(q, k, v, heads=8)
        scaled_dot_product_attention_backward(grad, q, k, v, out, logarithms, heads=8)
    assert [len(launch.counters) for launch in record.devices[0].launches] == [4, 4, 4]


def test_shares() -> None:
    """Whole groups that share keys or parts of one; queries where heads can't be shared evenly."""
    many = {"queries": 96, "most": 100}
    assert share_heads(8, 8, 4, cut=True, **many) == Shares(2, 96, (((0, 0), (2, 0), (4, 0), (6, 0)),))
    assert share_heads(8, 8, 4, cut=True, queries=96, most=1).launches[1] == ((4, 0), (5, 0), (6, 0), (7, 0))
    assert share_heads(6, 3, 2, cut=False, **many) == Shares(1, 96, tuple(((n, 0), (n + 1, 0)) for n in (0, 2, 4)))
    assert share_heads(8, 2, 4, cut=False, **many).heads == 2
    assert share_heads(1, 1, 2, cut=True, **many) == Shares(1, 48, (((0, 0), (0, 48)),))
    assert share_heads(1, 1, 4, cut=True, **many) == Shares(1, 96, (((0, 0),),))
    assert share_heads(3, 3, 2, cut=True, **many) == Shares(3, 48, (((0, 0), (0, 48)),))
    assert share_heads(3, 3, 2, cut=False, **many) == Shares(2, 96, (((0, 0), (1, 0)),))


def test_cores_that_the_chip_hasnt(quad: Device, rng: np.random.Generator) -> None:
    q, k, v = operands(quad, rng, *[(8, 1)] * 3)
    with pytest.raises(ValueError, match="the quad chip has 4 cores, not 5"):
        scaled_dot_product_attention(q, k, v, cores=5)
    with quad.stream(cores=(0, 2)), pytest.raises(ValueError, match="the current stream has 2 of the chip's cores"):
        scaled_dot_product_attention(q, k, v, cores=3)
