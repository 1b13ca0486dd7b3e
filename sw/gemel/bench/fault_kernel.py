"""A small program that uses every unit and every memory of a core: what fault injection runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.driver.program import Program, reg
from gemel.vector import Builder
from gemel_golden.formats import FORMATS
from gemel_golden.isa import Layout

ROWS = 8
K = 64
COLUMNS = 32
L1_A, L1_B, L1_D, L1_Y, L1_CODE = 0x0000, 0x1000, 0x4000, 0x8000, 0xC000
A_BYTES, B_BYTES, Y_BYTES = ROWS * K, COLUMNS * K, ROWS * COLUMNS * 2
PITCH = ROWS // 2
L1_USED = ((L1_A, A_BYTES), (L1_B, B_BYTES), (L1_D, 4 * ROWS * COLUMNS), (L1_Y, Y_BYTES), (L1_CODE, 512))
"""Where in L1 the kernel keeps its data: first byte, bytes."""


@dataclass(frozen=True)
class Kernel:
    """A program with its data. `inputs` lie from `IN` on in the memory it is given, its results from `OUT` on; `used`
    bytes of the inputs are read."""

    program: Program
    inputs: NDArray[np.uint8]
    used: int


IN, OUT, BYTES = 0, 0x4000, 0x6000
"""Offsets of inputs and results, and bytes of both."""


def kernel(rng: np.random.Generator, turns: int = 1) -> Kernel:
    """Products of random FP8 matrices, of which the vector core makes bf16(max(2 x + 1, 0)), turn after turn."""
    b = Builder()
    x = b.address(b.arg(1), pitch=PITCH, steps=(1, 0), region="x")
    y = b.address(b.arg(2), pitch=PITCH, steps=(1, 0), region="y")
    with b.loop(ROWS):
        value = b.load(x, "fp32", post=True)
        b.store(y, "bf16", b.max(b.fma(value, b.const(2.0), b.const(1.0)), b.const(0.0)), post=True)
    code = b.build().bundles
    inputs = np.zeros(OUT, np.uint8)
    fp8 = rng.integers(0, 256, A_BYTES + B_BYTES, np.uint8)
    fp8[fp8 & 0x7F == 0x7F] = 0x38  # no NaN, which would hide what is multiplied by it
    inputs[: len(fp8)] = fp8
    code_at = len(fp8)
    inputs[code_at : code_at + len(code)] = np.frombuffer(code, np.uint8)

    p = Program()
    rows = {"layout": int(Layout.TILE), "bytes": K, "valid_bytes": K, "stride1": K, "pitch": PITCH}
    words = -(-len(code) // 64) * 64
    p.load(mem=reg(1) + code_at, l1=L1_CODE, bytes=words, valid_bytes=words, valid1=1, signal={2: 1})
    p.vector(program=L1_CODE, fetch=len(code) // 32, run=0, wait={2: 1})
    with p.loop(turns):
        p.load(mem=reg(1), l1=L1_A, count1=ROWS, valid1=ROWS, signal={0: 1}, **rows)
        rows["pitch"] = COLUMNS // 2
        p.load(mem=reg(1) + A_BYTES, l1=L1_B, count1=COLUMNS, valid1=COLUMNS, signal={0: 1}, **rows)
        p.matmul(
            a=L1_A,
            b=L1_B,
            d=L1_D,
            m=ROWS,
            n=COLUMNS,
            k=K,
            a_pitch=PITCH,
            b_pitch=COLUMNS // 2,
            d_pitch=PITCH,
            a_format=FORMATS["e4m3"].code,
            b_format=FORMATS["e4m3"].code,
            d_format=FORMATS["fp32"].code,
            wait={0: 2},
            signal={1: 1},
        )
        p.vector(x1=L1_D, x2=L1_Y, wait={1: 1}, signal={3: 1})
        result = {"layout": int(Layout.TILE), "bytes": 2 * COLUMNS, "stride1": 2 * COLUMNS, "pitch": PITCH}
        p.store(mem=reg(1) + OUT, l1=L1_Y, count1=ROWS, wait={3: 1}, signal={4: 1}, **result)
        p.nop(wait={4: 1})
    p.halt()
    return Kernel(p, inputs, code_at + words)
