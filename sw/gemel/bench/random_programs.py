"""Random programs from memory to memory; register 1 holds the address of what they read and write."""

import numpy as np

from gemel.driver.program import Program, reg
from gemel_golden.formats import FORMATS
from gemel_golden.isa import OPERAND_FORMATS, OUTPUT_FORMATS

__all__ = ["random_copies", "random_matmul"]


def random_copies(rng: np.random.Generator, count: int) -> Program:
    """Loads of random shapes and alignments into alternating halves of L1, each stored elsewhere."""
    p = Program()
    for i in range(count):
        rows, bytes_ = (int(n) for n in rng.integers(1, [40, 300]))
        layout = int(rng.integers(2))
        chunks = -(-bytes_ // 32)
        pitch = -(-rows // 2) if layout else chunks
        shape = {"bytes": bytes_, "count1": rows, "pitch": pitch, "layout": layout, "l1": 32768 * (i % 2)}
        p.load(
            mem=reg(1) + 16384 + int(rng.integers(1 << 17)),
            stride1=int(rng.integers(-400, 400)) if rng.random() < 0.3 else bytes_ + int(rng.integers(40)),
            valid_bytes=int(rng.integers(bytes_ + 1)) if rng.random() < 0.3 else bytes_,
            valid1=int(rng.integers(rows + 1)) if rng.random() < 0.3 else rows,
            fill=int(rng.integers(1 << 32)),
            wait={2 + i % 2: 1} if i >= 2 else None,
            signal={i % 2: 1},
            **shape,
        )
        target = reg(1) + (1 << 18) + 16384 * i + int(rng.integers(64))
        p.store(mem=target, stride1=bytes_ + int(rng.integers(40)), wait={i % 2: 1}, signal={2 + i % 2: 1}, **shape)
    p.halt()
    return p


def random_matmul(rng: np.random.Generator) -> Program:
    """One product of random size and formats, from memory to memory."""
    fmt_a, fmt_b, fmt_d = (int(rng.choice(codes)) for codes in (OPERAND_FORMATS, OPERAND_FORMATS, OUTPUT_FORMATS))
    bits = {fmt.code: fmt.bits for fmt in FORMATS.values()}
    m, n, k = (int(size) for size in rng.integers(1, [33, 33, 200]))
    p = Program()
    for rows, fmt, place in ((m, fmt_a, 0), (n, fmt_b, 16384)):
        p.load(
            mem=reg(1) + int(rng.integers(1 << 17)),
            l1=place,
            layout=1,
            bytes=-(-k * bits[fmt] // 8),
            valid_bytes=-(-k * bits[fmt] // 8),
            count1=rows,
            valid1=rows,
            stride1=512,
            pitch=16,
            signal={0: 1},
        )
    p.matmul(
        a=0,
        b=16384,
        d=32768,
        a_format=fmt_a,
        b_format=fmt_b,
        d_format=fmt_d,
        m=m,
        n=n,
        k=k,
        a_pitch=16,
        b_pitch=16,
        d_pitch=16,
        activation=int(rng.integers(2)),
        saturate=int(rng.integers(2)),
        wait={0: 2},
        signal={1: 1},
    )
    row = -(-n * bits[fmt_d] // 8)
    target = reg(1) + (1 << 18) + int(rng.integers(1000))
    p.store(mem=target, l1=32768, layout=1, bytes=row, count1=m, stride1=row, pitch=16, wait={1: 1})
    p.halt()
    return p
