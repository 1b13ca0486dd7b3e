"""The vector compiler: scheduled programs do what their traces say, whatever is overlapped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gemel.vector import Addr, Builder, Philox, Pred, Scalar, Vec, VectorProgram, interpret
from gemel.vector.ir import Bank, Op, Reg, Slot
from gemel.vector.layout import Layout
from gemel.vector.webs import split
from gemel_golden import vector
from gemel_golden.flags import Flags
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import Permute

L1_BYTES = 1 << 18
REGION = 1 << 16
PITCH = 128
"""Words between chunk columns: 256 rows, of eight chunks in a region."""
ARGUMENTS = {1: 0x0001_0000, 2: 0x0002_0000, 3: 0x0003_0000, 4: 5, 5: 0, 6: 0x3F00_0000, 7: 1, 8: 0xDEAD_BEEF, 9: 17}
"""Three regions, three counts, and words."""
COUNTS = (4, 5, 7, 9)


@pytest.fixture(autouse=True)
def compiled_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program comes from the cache."""
    monkeypatch.setenv("GEMEL_CACHE", str(tmp_path))


def run(program: VectorProgram, l1: np.ndarray) -> Flags:
    """Execute on golden, the bundles passed by the instruction memory."""
    state = vector.VectorState()
    for i in range(len(program)):
        state.bundles[i] = program.bundles[32 * i : 32 * i + 32]
    fields = {"fetch": 0, "run": 1, "entry": 0, **{f"x{i}": value for i, value in ARGUMENTS.items()}}
    return vector.execute(fields, state, l1)


def random_l1(rng: np.random.Generator) -> np.ndarray:
    """Normal numbers, and some with any bits."""
    values = rng.normal(0, 3, L1_BYTES // 4).astype(np.float32).view(np.uint32)
    return (
        np.where(rng.random(len(values)) < 0.1, rng.integers(0, 1 << 32, len(values)), values).astype("<u4").view("u1")
    )


class RandomProgram:
    """A builder fed with random calls; loads and stores go on by rows, so that they never meet without a fence."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.b = Builder()
        tile = bool(rng.integers(2))
        self.source = self._address(1, tile)
        self.place, self.replace = self._address(2, tile, "both"), self._address(2, tile, "both")
        self.target = self._address(3, tile, "target")
        self.variables = [self.b.variable(float(i)) for i in range(3)]
        self.counter = self.b.sadd(0, 3)
        self.random: Philox = self.b.philox_state(self.b.arg(8), 5, 6, self.b.arg(9))
        self.flag = self.b.lanes_below(9)
        self.vectors: list[Vec] = [*self.variables]
        self.depth = 0

    def _address(self, number: int, tile: bool, region: str | None = None) -> Addr:
        return self.b.address(self.b.arg(number), PITCH if tile else 8, tile, steps=(1, 0), region=region)

    def pick(self, *options: object) -> object:
        return options[int(self.rng.integers(len(options)))]

    def vector(self) -> Vec:
        return self.vectors[int(self.rng.integers(len(self.vectors)))]

    def operand(self) -> Vec | Scalar | float:
        """A vector in any form, mostly; else a scalar or a constant."""
        b, rng = self.b, self.rng
        if rng.random() < 0.2:
            return [b.arg(6), self.counter, 0.0, -1.5, -b.arg(8)][int(rng.integers(5))]
        value = self.vector()
        if rng.random() < 0.3:
            value = value.permuted(list(Permute)[int(rng.integers(1, 13))])
        value = abs(value) if rng.random() < 0.2 else value
        return -value if rng.random() < 0.2 else value

    def action(self) -> None:
        """One random call, or a few that belong together."""
        choices: list[Callable[[], None]] = [self.compute] * 6 + [self.load] * 3 + [self.store] * 2
        choices += [self.compare, self.assign, self.change, self.update, self.scalars, self.draw, self.reread]
        choices += [self.loop] * 2 if self.depth < 3 else []
        choices[int(self.rng.integers(len(choices)))]()

    def compute(self) -> None:
        name = ["fma", "add", "sub", "mul", "max", "xor", "iadd", "isub", "shl", "tanh", "exp", "mov"][
            int(self.rng.integers(12))
        ]
        count = {"fma": 3, "tanh": 1, "exp": 1, "mov": 1}.get(name, 2)
        self.vectors.append(getattr(self.b, name)(*(self.operand() for _ in range(count))))

    def load(self) -> None:
        fmt, post = ["fp32", "bf16", "int8"][int(self.rng.integers(3))], self.rng.random() < 0.3
        pred = self.flag if self.rng.random() < 0.2 else None
        self.vectors.append(self.b.load(self.source, fmt, row=int(self.rng.integers(4)), post=post, pred=pred))

    def store(self) -> None:
        b, value = self.b, self.vector()
        if self.rng.random() < 0.5:
            b.store(self.target, "bf16", value, col=1, random=self.vector(), pred=~self.flag)
        b.store(self.target, "fp32", value, col=0, post=self.rng.random() < 0.7)

    def update(self) -> None:
        value = self.b.load(self.place, "fp32", post=True)
        self.b.store(self.replace, "fp32", self.b.add(value, self.operand()), post=True)

    def reread(self) -> None:
        b = self.b
        b.store(self.target, "fp32", self.vector(), row=1)
        b.fence()
        self.vectors.append(b.load(self.target, "fp32", row=1, element=self.rng.random() < 0.5))

    def compare(self) -> None:
        pred = self.b.lt(self.operand(), self.operand(), pred=self.flag if self.rng.random() < 0.3 else None)
        self.vectors.append(self.b.select(~pred if self.rng.random() < 0.5 else pred, self.operand(), self.vector()))

    def assign(self) -> None:
        self.b.assign(self.variables[int(self.rng.integers(3))], self.operand())

    def change(self) -> None:
        variable = self.variables[int(self.rng.integers(3))]
        self.b.add(variable, self.operand(), into=variable, pred=self.flag if self.rng.random() < 0.3 else None)
        if self.rng.random() < 0.3:
            self.b.lt(self.vector(), self.operand(), into=Pred(self.flag.reg))

    def scalars(self) -> None:
        b = self.b
        b.sadd(b.sand(b.read(self.vector()), 0xFF), self.counter, into=self.counter)

    def draw(self) -> None:
        self.vectors.append(self.b.philox(self.random))
        self.b.advance(self.random)

    def loop(self) -> None:
        count = int(self.rng.integers(8))
        scalar = self.b.arg(COUNTS[int(self.rng.integers(3))]) if self.rng.random() < 0.4 else count
        outside = list(self.vectors)
        self.depth += 1
        with self.b.loop(scalar):
            for _ in range(int(self.rng.integers(1, 9))):
                self.action()
        self.depth -= 1
        self.vectors = outside

    def build(self) -> VectorProgram:
        for _ in range(12):
            self.action()
        for i, variable in enumerate(self.variables):
            self.b.store(self.target, "fp32", variable, row=2 + i)
        return self.b.build()


@pytest.mark.parametrize("number", range(40))
def test_random_programs_do_what_their_traces_say(number: int, rng: np.random.Generator) -> None:
    program = RandomProgram(rng).build()
    expected = random_l1(rng)
    actual = expected.copy()
    flags = interpret(program.trace, ARGUMENTS, expected)
    assert run(program, actual) == flags
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("number", range(10))
def test_squeezed_pipelines_do_the_same(number: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a program that would have too many bundles otherwise."""
    monkeypatch.setattr("gemel.vector.pipeline.REACHES", (16,))
    test_random_programs_do_what_their_traces_say(number, rng)


def test_regions_of_one_memory_meet_behind_a_fence(rng: np.random.Generator) -> None:
    """What a straight line stores and then loads under another name, with long work for the load to overtake."""
    b = Builder()
    stores, loads = (b.address(b.arg(1), PITCH, region=f"x {use}", memory="x") for use in ("stores", "loads"))
    result = b.address(b.arg(2), PITCH, region="y")
    b.store(stores, "fp32", b.exp(b.exp(b.const(0.5))))
    b.fence()
    b.store(result, "fp32", b.load(loads, "fp32"))
    program = b.build()
    expected = random_l1(rng)
    actual = expected.copy()
    assert run(program, actual) == interpret(program.trace, ARGUMENTS, expected)
    np.testing.assert_array_equal(actual, expected)


def test_values_that_never_meet_get_registers_of_their_own() -> None:
    """What a loop carries keeps one register, through the loop and behind it; what one name held twice gets two."""
    reg, sums, zero = Reg(Bank.VECTOR, "x"), Reg(Bank.VECTOR, "sum"), Reg(Bank.SCALAR, "zero", fixed=0)

    def op(define: Reg, *reads: Reg) -> dict[Slot, Op]:
        uses = dict(zip("ab", reads or (zero,), strict=False))
        return {Slot.ALU: Op(Slot.ALU, {"op": LaneOp.ADD}, uses, ("rd", define))}

    layout = Layout()
    layout.append([op(reg), op(sums, reg)])
    with layout.loop(3, None):
        layout.append([op(reg), op(sums, sums, reg)])
    layout.append([op(reg, sums)])
    layout.halt()
    split(layout)
    names = [bundle[Slot.ALU].define for bundle in layout.bundles if Slot.ALU in bundle]
    first, start, inside, step, last = (define[1] for define in names if define)
    assert start is step, "a carried value has one register"
    assert len({first, inside, last}) == 3
    reads = [bundle[Slot.ALU].reads for bundle in layout.bundles if Slot.ALU in bundle]
    assert reads[1:] == [[first], [], [start, inside], [start]]


def test_loads_of_stores_wait_for_the_fence() -> None:
    b = Builder()
    x = b.address(0, 0, False)
    b.store(x, "fp32", b.mov(2.0))
    b.fence()
    y = b.load(x, "fp32")
    b.store(x, "fp32", b.mul(y, y), col=1)
    l1 = np.zeros(L1_BYTES, np.uint8)
    run(b.build(), l1)
    np.testing.assert_array_equal(l1[:256].view(np.float32), np.repeat(np.array([2, 4], np.float32), 32))


@pytest.mark.parametrize("count", range(12))
def test_a_pipeline_of_any_count(count: int, rng: np.random.Generator) -> None:
    """The count in a scalar and in the program: the same, and faster than one iteration after the other."""
    cycles = {}
    for scalar in (False, True):
        for pipeline in (False, True):
            b = Builder()
            x, y = (b.address(b.arg(i), 8, False, steps=(1, 0), region=str(i)) for i in (1, 3))
            total = b.variable(0.0)
            with b.loop(b.sadd(count, 0) if scalar else count, pipeline=pipeline):
                v = b.tanh(b.load(x, "fp32", post=True))
                b.assign(total, b.add(total, v))
                b.store(y, "fp32", b.fma(v, v, total), post=True)
            b.store(y, "fp32", total)
            program = b.build()
            expected = random_l1(rng)
            actual = expected.copy()
            interpret(program.trace, ARGUMENTS, expected)
            run(program, actual)
            np.testing.assert_array_equal(actual, expected)
            cycles[scalar, pipeline] = program.estimate(ARGUMENTS).cycles
    if count >= 8:
        assert cycles[False, True] < cycles[False, False]
        assert cycles[True, True] < cycles[True, False]


def test_errors_are_sentences() -> None:
    b = Builder()
    x = b.address(0, 0)
    values = [b.load(x, "fp32", col=j) for j in range(33)]
    total = b.combine("add", values)
    for j, value in enumerate(values):
        b.store(x, "fp32", b.mul(value, total), col=j)
    with pytest.raises(ValueError, match=r"3\d vector registers are needed at the same time; there are 32"):
        b.build()
    with pytest.raises(ValueError, match="with pred, name the vector whose other lanes stay: into="):
        b.add(values[0], 1.0, pred=b.lanes_below(3))
    with pytest.raises(ValueError, match="VECTOR has arguments x1 to x9, no x10"):
        b.arg(10)
    long = Builder()
    for i in range(VECTOR_BUNDLES):
        long.sadd(long.arg(1), i, into=long.arg(2))
    with pytest.raises(ValueError, match="the program has 1025 bundles; the instruction memory holds 1024"):
        long.build()


def test_the_documents_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "vector.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "docs/vector.md", "exec"), {})
    assert "exp rd=" in capsys.readouterr().out
