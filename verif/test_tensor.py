"""The tensor core against golden: random MATMULs under stalls, every format, cycles, semaphores, faults, aborts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import ChipConfig, config
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS
from gemel_golden.isa import INSTRUCTIONS, OPERAND_FORMATS, OUTPUT_FORMATS, Opcode
from gemel_rtl.numeric.accumulate import DotCell
from gemel_rtl.tensor import TensorCore
from gemel_rtl.tensor.array import Array
from gemel_rtl.tensor.drain import Drain
from gemel_rtl.tensor.randoms import Randoms
from gemel_verif.matmuls import Builder, expected
from gemel_verif.runner import simulate

pytestmark = pytest.mark.xdist_group("tensor")

NANO = config("nano").override(l1_bytes=1 << 18)
E4M3, BF16, INT8, E2M1, INT4 = 4, 2, 6, 8, 9
PLAIN = {"block_scale": 0, "rounding": 0}


def run(
    builder: Builder, *programs: list[bytes], stall: float = 0.0, abort_after: Sequence[int] = ()
) -> dict[str, Any]:
    """Run programs one after the other; the first ones are aborted after so many cycles."""
    chip: ChipConfig = builder.config
    inputs: dict[str, Any] = {
        "config": chip.name,
        "l1": builder.l1,
        "seed": int(builder.rng.integers(1 << 32)),
        "stall": stall,
        "limit": 30_000,
        "programs": [{"instructions": list(enumerate(program))} for program in programs],
    }
    for program, cycles in zip(inputs["programs"], abort_after, strict=False):
        program["abort_after"] = cycles
    return simulate(TensorCore(chip), "gemel_tensor_core", "tb_tensor", inputs)


def check(builder: Builder, instructions: list[bytes], stall: float) -> None:
    """L1's bytes, the flags and the number of clamped codes are golden's."""
    l1, flags, fault = expected(builder.l1, instructions)
    assert fault is None
    outputs = run(builder, instructions, stall=stall)
    assert_array_equal(outputs["programs"][0]["l1"], l1)
    bits = outputs["flags"]
    assert Flags(invalid=bool(bits & 1), overflow=bool(bits & 2), saturated=outputs["saturated"]) == flags
    assert bool(bits & 4) == bool(flags.saturated)
    assert len(outputs["starts"]) == len(outputs["stops"]) == len(instructions)


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.6])
def test_random(rng: np.random.Generator, stall: float) -> None:
    builder = Builder(rng, NANO)
    check(builder, [builder.instruction() for _ in range(8)], stall)


def test_every_pair_of_operand_formats(rng: np.random.Generator) -> None:
    builder = Builder(rng, NANO)
    pairs = [(a, b) for a in OPERAND_FORMATS for b in OPERAND_FORMATS]
    check(
        builder,
        [
            builder.instruction(a_format=a, b_format=b, m=int(rng.integers(1, 8)), n=int(rng.integers(1, 8)))
            for a, b in pairs
        ],
        0.1,
    )


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_block_scales(rng: np.random.Generator, stall: float) -> None:
    """Groups of K whole, cut short and of a single block, small tiles behind each other, with and without scales."""
    builder = Builder(rng, NANO)
    sizes = [(1, 3), (2, 2), (4, 4), (7, 32), (32, 1)]
    instructions = []
    for a, b in ((E4M3, E4M3), (BF16, E2M1), (E2M1, INT4), (E2M1, E2M1), (BF16, BF16)):
        for k in (16, 127, 128, 129, 160, 257):
            m, n = sizes[int(rng.integers(len(sizes)))]
            room = builder.free
            mode, scaled = int(rng.integers(0, 4)), int(rng.integers(1, 3))
            named = {"block_scale": mode, "a_scaled": scaled, "a_format": a, "b_format": b, "m": m, "n": n, "k": k}
            instructions.append(builder.instruction(**named))
            if builder.free > builder.config.l1_words - 600:
                check(builder, instructions, stall)
                builder, instructions = Builder(rng, NANO), []
            assert builder.free > room or not instructions
    check(builder, instructions, stall)


def test_stochastic_rounding(rng: np.random.Generator) -> None:
    """Every format that has it, wherever the first element lies in a block of random words, and what it takes."""
    builder = Builder(rng, NANO)
    names = {"rounding": 1, "block_scale": 0, "a_format": E4M3, "b_format": E4M3, "k": 40}
    formats = [fmt.code for fmt in FORMATS.values() if fmt.stochastic_bits]
    sizes = [(int(rng.integers(1, 9)), int(rng.integers(1, 33))) for _ in formats]
    instructions = [
        builder.instruction(**names, d_format=fmt, m=m, n=n) for fmt, (m, n) in zip(formats, sizes, strict=True)
    ]
    plain = builder.instruction(**(names | {"rounding": 0}), d_format=BF16, m=5, n=32)
    check(builder, [*instructions, plain, instructions[0]], 0.2)
    outputs = run(builder, [builder.instruction(**names, d_format=BF16, m=32, n=32)])
    assert outputs["stops"][0] - outputs["busy"][-1] == Array.latency + 1 + 64 * Randoms.latency + Drain.latency + 1


def test_short_squares_follow_full_ones(rng: np.random.Generator) -> None:
    """A square is refilled while its last rows are read, also where its last rows come after few words."""
    builder = Builder(rng, NANO)
    full = {"a_format": E4M3, "b_format": E4M3, "m": 4, "k": 20, "a_transposed": 0, "b_transposed": 0}
    short = {"a_format": BF16, "b_format": BF16, "m": 4, "a_transposed": 1, "b_transposed": 1}
    sizes = [(n, k) for n in (18, 32) for k in (1, 18, 20)]
    check(
        builder,
        [builder.instruction(**shape, n=n) for n, k in sizes for shape in (full, short | {"k": k}, full)],
        0.0,
    )


def test_every_output_format_at_every_width(rng: np.random.Generator) -> None:
    builder = Builder(rng, NANO)
    shapes = [(int(rng.integers(1, 4)), n) for n in (1, 7, 8, 9, 15, 16, 17, 25, 32)]
    check(
        builder,
        [
            builder.instruction(d_format=fmt, m=m, n=n, k=int(rng.integers(1, 40)))
            for fmt in OUTPUT_FORMATS
            for m, n in shapes
        ],
        0.0,
    )


def test_clean_data_raise_no_flag(rng: np.random.Generator) -> None:
    """What lies beyond the tile's rows, columns and K, or was in the accumulators before, raises nothing."""
    builder = Builder(rng, NANO)
    dirty = builder.instruction(a_format=3, b_format=5, m=32, n=32, k=16, accumulate=0)
    builder.l1[:] |= 0x7C  # NaN and Inf in most places
    instructions = [dirty, dirty]
    clean = [
        builder.instruction(
            a_format=INT8,
            b_format=INT8,
            d_format=1,
            m=5,
            n=19,
            k=7,
            accumulate=c,
            scale_mode=0,
            bias=0,
            activation=0,
            block_scale=0,
            c=builder.region(200),
            c_pitch=4,
        )
        for c in (0, 1)
    ]
    for raw in clean:
        check(builder, [*instructions, raw], 0.0)
    outputs = run(builder, clean[:1])
    assert outputs["flags"] == 0


PERIODS = [
    # m, n, formats of A and B, transposed, cycles per block
    (2, 2, E4M3, E4M3, 0, 0, DotCell.distance),
    (4, 8, E4M3, E4M3, 0, 0, 8),
    (4, 8, BF16, BF16, 0, 0, 8),
    (8, 4, E4M3, BF16, 1, 1, 8),
    (2, 32, E4M3, E4M3, 0, 0, 16),
    (2, 31, BF16, E4M3, 1, 0, 16),
    (32, 2, E4M3, E4M3, 0, 0, 16),
    (32, 2, BF16, BF16, 1, 1, 16),
    (16, 4, INT8, INT8, 1, 1, 16),
    (4, 16, INT8, INT8, 1, 1, 16),
    (4, 16, BF16, BF16, 1, 1, 16),
    (9, 7, E4M3, E4M3, 0, 0, 20),
]


@pytest.mark.parametrize(("m", "n", "a", "b", "at", "bt", "period"), PERIODS)
def test_blocks_follow_without_bubbles(
    rng: np.random.Generator, m: int, n: int, a: int, b: int, at: int, bt: int, period: int
) -> None:
    """Within an instruction and from one to the next, where accumulators of another bank may be used even sooner."""
    builder = Builder(rng, NANO)
    drain = m * -(-n // 16)
    blocks = max(4, -(-(drain + 8) // period))
    k = blocks * (16 if BF16 in (a, b) else 32)
    instructions = [
        builder.instruction(
            m=m, n=n, k=k, a_format=a, b_format=b, a_transposed=at, b_transposed=bt, accumulate=0, **PLAIN
        )
        for _ in range(3)
    ]
    busy = np.array(run(builder, instructions)["busy"])
    groups = -(-m // NANO.rows) * -(-n // NANO.cols)
    gaps = np.diff(busy[::groups])
    assert_array_equal(np.delete(gaps, [blocks - 1, 2 * blocks - 1]), np.full(3 * blocks - 3, period))
    assert gaps.max() == period


def test_latency(rng: np.random.Generator) -> None:
    """From an instruction's start to its first block, and from its last block to its stop."""
    builder = Builder(rng, NANO)
    plain = {"a_format": E4M3, "b_format": E4M3, "accumulate": 0, "block_scale": 0, "rounding": 0}
    outputs = run(builder, [builder.instruction(m=32, n=32, k=32, **plain)])
    words, read = 16, 2
    assert outputs["busy"][0] - outputs["starts"][0] == 1 + words + read + 1
    drain = 64 + Drain.latency
    assert outputs["stops"][0] - outputs["busy"][-1] == Array.latency + drain + 1


def test_results_pass_through_semaphores(rng: np.random.Generator) -> None:
    """A chain in which each D is the next one's C."""
    builder = Builder(rng, NANO)
    d = {"d": builder.region(4 * 18), "d_pitch": 18}
    c = {"c": d["d"], "c_pitch": 18}
    plain = {"a_format": E4M3, "b_format": E4M3, "d_format": 0, "m": 32, "n": 32, "k": 8, "scale_mode": 0, "bias": 0}
    signal = {"signal0": 3, "signal0_count": 2, "signal1": 31, "signal1_count": 1}
    wait = {"wait0": 3, "wait0_count": 2, "wait1": 31, "wait1_count": 1}
    program = [builder.instruction(**plain, **d, **signal, accumulate=0)]
    program += [builder.instruction(**plain, **d, **c, **wait, **signal, accumulate=1) for _ in range(2)]
    l1, _, _ = expected(builder.l1, program)
    outputs = run(builder, program, stall=0.2)
    assert_array_equal(outputs["programs"][0]["l1"], l1)
    assert [count for count in outputs["semaphores"] if count] == [2, 1]
    assert outputs["semaphores"][3] == 2


TOP = NANO.l1_bytes
SCALED = {"block_scale": 1, "a_scaled": 1, "b_scaled": 1}
OPERANDS = {"m": 7, "n": 20, "k": 70, "a_format": E4M3, "b_format": BF16}
USED = OPERANDS | PLAIN | {"d_format": 0, "accumulate": 1, "scale_mode": 2, "bias": 1}
FAULTS: list[dict[str, int]] = [
    {"a": 16},
    {"b": 4},
    {"c": 8},
    {"d": 24},
    {"d": 8, "d_format": 4},
    {"scale_at": 32},
    {"bias_at": (1 << 63) + 32},
    {"b": 48, "c": 40, "d": 16},
    {"a": TOP - 64 * 3, "a_pitch": 3},
    {"a": TOP - 64 * 34, "a_transposed": 1},
    {"b": TOP - 64 * 11, "b_pitch": 1},
    {"b": TOP - 64 * 20, "b_pitch": 30, "b_transposed": 1},
    {"a": 1 << 31, "b": TOP},
    {"b": (1 << 32) - 32},
    {"c": TOP - 64 * 4, "c_pitch": 4},
    {"c": TOP - 64 * 5 + 32, "c_pitch": 65535},
    {"scale_at": TOP - 64},
    {"bias_at": TOP - 64, "scale_at": TOP},
    {"bias_at": (1 << 64) - 64},
    {"bias_at": TOP - 128, "rounding": 1, "d_format": BF16},
    {"bias_at": 16, "bias": 0, "rounding": 1, "d_format": BF16},
    {"bias_at": TOP - 128, "rounding": 1, "bias": 0, "d_format": BF16, "d": 0},
    {"d": TOP - 64 * 6, "d_pitch": 2},
    {"d": TOP - 64 * 4 + 16, "d_format": 4, "d_pitch": 2},
    {"d": TOP - 96, "d_pitch": 65535, "a": 1 << 20},
    {**SCALED, "a": TOP - 64 * 24, "a_pitch": 4, "a_scales": 23},
    {**SCALED, "b": 0, "b_pitch": 10, "b_scales": -1},
    {**SCALED, "block_scale": 3, "a": TOP - 64 * 20, "a_pitch": 4, "a_scales": 19, "b_scales": -32768},
    {**SCALED, "block_scale": 3, "a_scaled": 2, "a": TOP - 64 * 12, "a_pitch": 4, "a_scales": 12, "k": 300},
    {**SCALED, "block_scale": 2, "a_format": E2M1, "b_format": E2M1, "b": TOP - 64 * 25, "b_pitch": 10, "b_scales": 22},
]


def test_faults(rng: np.random.Generator) -> None:
    """Records are golden's, what came before is done, and an abort leaves nothing behind."""
    builder = Builder(rng, NANO)
    before = builder.instruction(m=3, n=5, k=9)
    programs: list[list[bytes]] = []
    for wrong in FAULTS:
        room = builder.free
        programs.append([before, _faulty(builder, wrong), before])
        builder.free = room
    outputs = run(builder, *programs, stall=0.1)
    for wrong, program, result in zip(FAULTS, programs, outputs["programs"], strict=True):
        _, _, fault = expected(builder.l1, program)
        assert isinstance(fault, Fault), wrong
        assert result["fault"] == (fault.code, fault.pc, fault.address), wrong


CHOSEN = ("rounding", "block_scale", "a_scaled", "b_scaled", "a_format", "b_format", "d_format", "k")


def _faulty(builder: Builder, wrong: dict[str, int]) -> bytes:
    """An instruction that is right but for these fields."""
    matmul = INSTRUCTIONS[Opcode.MATMUL]
    transposed = {name: wrong.get(name, 0) for name in ("a_transposed", "b_transposed")}
    chosen = {name: wrong[name] for name in CHOSEN if name in wrong}
    right = matmul.decode(builder.instruction(**(USED | transposed | chosen)))
    return matmul.encode(**(right | wrong))


def test_abort(rng: np.random.Generator) -> None:
    """Whatever the unit was doing, the program after an abort finds it as new."""
    builder = Builder(rng, NANO)
    program = [builder.instruction(m=9, n=20, k=20, bias=1) for _ in range(4)]
    l1, _, _ = expected(builder.l1, program)
    moments = np.sort(rng.choice(np.arange(3, 300), 16, replace=False))
    outputs = run(builder, *[program] * (len(moments) + 1), abort_after=[int(moment) for moment in moments])
    assert len(outputs["stops"]) < len(moments) * len(program)
    assert_array_equal(outputs["programs"][-1]["l1"], l1)
