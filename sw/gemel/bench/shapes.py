"""Many small products of random shapes in one program: operands in two pools in L1, results stored while others run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.bench.matmul import random_codes
from gemel.driver.device import Device
from gemel.dtypes import dtype
from gemel.kernels.matmul_l1 import Matrix, load, multiply, place, store
from gemel.kernels.matmul_reference import matmul_reference
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import Operand
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format, pack4

__all__ = ["LARGEST", "Shape", "random_shapes", "run_shapes"]

LARGEST = 130
"""Greatest side of a shape."""
SPARE_ROWS, SPARE_CHUNKS = 62, 3
"""How much larger a pool is than the largest operand: room for submatrices that begin anywhere."""
RESULTS = 8
"""Results that L1 holds at a time, room permitting: a large one is stored while several small ones are computed."""
ALIGN = 64
"""Rows of a result begin at multiples of this many bytes of memory."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One product: its sizes, and where its operands begin in their pools, in rows and chunks of K."""

    m: int
    n: int
    k: int
    a_row: int
    a_chunk: int
    b_row: int
    b_chunk: int


def pool_shape(fmt: Format, largest: int) -> tuple[int, int]:
    """Rows of a pool, and chunks of each."""
    return largest + largest % 2 + SPARE_ROWS, -(-largest * fmt.bits // (8 * CHUNK)) + SPARE_CHUNKS


def random_shapes(count: int, seed: int, fmt: Format, largest: int = LARGEST) -> list[Shape]:
    """`count` shapes with sides 1..`largest` and random places in the pools."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(1, largest + 1, (count, 3))
    pool_rows, pool_chunks = pool_shape(fmt, largest)
    shapes = []
    for m, n, k in sides.tolist():
        last_chunk = pool_chunks - -(-k * fmt.bits // (8 * CHUNK))
        a_row, b_row = (2 * int(rng.integers(0, (pool_rows - rows) // 2 + 1)) for rows in (m, n))
        a_chunk, b_chunk = (int(rng.integers(0, last_chunk + 1)) for _ in range(2))
        shapes.append(Shape(m=m, n=n, k=k, a_row=a_row, a_chunk=a_chunk, b_row=b_row, b_chunk=b_chunk))
    return shapes


def run_shapes(
    device: Device, *, count: int, seed: int, name: str, out_name: str = "bf16", largest: int = LARGEST
) -> dict[str, Any]:
    """Run `count` random shapes as one program and check every result; the figures by name.

    Cycles are the launch's, from its first fetched instruction to its last stored byte.
    """
    if count < 1:
        raise ValueError(f"a benchmark of shapes needs at least 1, not {count}")
    fmt, out = dtype(name), dtype(out_name)
    shapes = random_shapes(count, seed, fmt, largest)
    rows, chunks = pool_shape(fmt, largest)
    rng = np.random.default_rng(seed)
    pools = [random_codes(rng, (rows, chunks * CHUNK * 8 // fmt.bits), fmt) for _ in "ab"]
    d_bytes = -(-largest * out.bits // 8)
    pool_size, d_size = (rows, chunks * CHUNK), (largest, d_bytes)
    pool_bytes, result_bytes = (matrix.size for matrix in place(device.config, pool_size, d_size))
    buffers = min(RESULTS, max(2, (device.config.l1_bytes - 2 * pool_bytes) // result_bytes))
    a_pool, b_pool, *results = place(device.config, pool_size, pool_size, *[d_size] * buffers)
    loads, program = Schedule(), Schedule()
    load(loads, a_pool, 1)
    load(loads, b_pool, 2)
    uploaded = [device.upload(pack4(pool) if fmt.bits == 4 else pool) for pool in pools]
    device.run(loads.encode(), uploaded, name="loads")

    regions = [Region(result.address, result.size) for result in results]
    offsets = []
    top = 0
    for number, shape in enumerate(shapes):
        d = Matrix(address=results[number % buffers].address, rows=shape.m, row_bytes=-(-shape.n * out.bits // 8))
        region = regions[number % buffers]
        a = (Operand(fmt=fmt, rows=shape.m, k=shape.k, transposed=False), a_pool, shape.a_row, shape.a_chunk * CHUNK)
        b = (Operand(fmt=fmt, rows=shape.n, k=shape.k, transposed=False), b_pool, shape.b_row, shape.b_chunk * CHUNK)
        multiply(program, device.config, a, b, (out, d), writes=[region])
        stride = -(-d.row_bytes // ALIGN) * ALIGN
        store(program, d, 1, offset=top, stride=stride, reads=[region])
        offsets.append((top, stride))
        top += shape.m * stride
    memory = device.alloc(top)
    begun = time.monotonic()
    result = device.run(program.encode(), [memory], name=f"{count} matmuls")
    seconds = time.monotonic() - begun

    wrong = None
    for shape, (offset, stride) in zip(shapes, offsets, strict=True):
        found = memory.read(np.uint8, (shape.m, stride), offset)[:, : shape.n * out.bits // 8]
        expected = _expected(shape, pools, fmt, out)
        if wrong is None and not np.array_equal(found, expected):
            wrong = f"{shape.m} x {shape.n} x {shape.k}"
    macs = sum(shape.m * shape.n * shape.k for shape in shapes)
    peak = device.config.macs_8bit * 8 // fmt.bits
    return {
        "count": count,
        "cycles": result.cycles or None,
        "macs": macs,
        "peak_macs_per_cycle": peak,
        "utilisation": macs / (result.cycles * peak) if result.cycles else None,
        "seconds": seconds,
        "mmac_per_second": macs / seconds / 1e6,
        "instructions": len(program),
        "exact": wrong is None,
        "first_wrong_shape": wrong,
    }


def _expected(shape: Shape, pools: list[NDArray[Any]], fmt: Format, out: Format) -> NDArray[np.uint8]:
    per_chunk = CHUNK * 8 // fmt.bits
    starts = ((shape.a_row, shape.a_chunk, shape.m), (shape.b_row, shape.b_chunk, shape.n))
    a, b = (
        pool[row : row + rows, chunk * per_chunk : chunk * per_chunk + shape.k]
        for pool, (row, chunk, rows) in zip(pools, starts, strict=True)
    )
    codes, _ = matmul_reference(a, fmt, b.T, fmt, out)
    return np.ascontiguousarray(codes).view(np.uint8).reshape(shape.m, -1)
