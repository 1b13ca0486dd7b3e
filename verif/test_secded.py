"""SECDED in hardware against golden: no error, all single ones, all pairs, and random syndromes."""

from itertools import combinations

import numpy as np
import pytest
from amaranth.hdl import Signal

from gemel_golden.memory.secded import decode, encode
from gemel_rtl.numeric.secded import SecdedDecoder, check_bits
from gemel_verif.numbers import report
from gemel_verif.numeric_benches import Lanes, Registered
from gemel_verif.streams import through

LANES = 4


def one_word() -> SecdedDecoder:
    return SecdedDecoder(1)


def test_decoder(rng: np.random.Generator) -> None:
    where = [(), *((i,) for i in range(72)), *combinations(range(72), 2)]
    flips = [sum(1 << bit for bit in bits) for bits in where]
    flips += [int.from_bytes(rng.bytes(9), "little") for _ in range(-len(flips) % LANES + 512)]
    words = rng.integers(0, 1 << 64, len(flips), dtype=np.uint64)
    data = words ^ np.array([flip & (1 << 64) - 1 for flip in flips], np.uint64)
    check = encode(words) ^ np.array([flip >> 64 for flip in flips], np.uint8)
    bank = Lanes(lambda: Registered(one_word), LANES)
    names = ("fixed", "corrected", "uncorrectable")
    got = through(bank, "secded_decoders", Registered.latency, names, {"data": data, "check": check})
    for name, expected in zip(names, decode(data, check), strict=True):
        report(got[name], expected, data=data, check=check)


def test_half_a_word_has_no_check_bits() -> None:
    with pytest.raises(ValueError, match="whole 64-bit words, not of 96 bits"):
        check_bits(Signal(96))
