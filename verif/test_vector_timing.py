"""The vector core's cycles by the table `gemel_golden.vector_timing`, measured on the simulated nano chip."""

from collections.abc import Callable, Iterator

import pytest

import gemel
from gemel.vector import estimate
from gemel_golden import vector_timing as timing
from gemel_golden.formats import by_name
from gemel_golden.functions import Function
from gemel_golden.isa import Opcode, encode
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import BUNDLE_BYTES, FUNCTION_BASE, PHILOX, SCALAR_OPERAND, Control, encode_bundle

Values = dict[str, int]
Measure = Callable[..., int]

TAIL = 40
"""Bundles that do nothing before HALT, which would wait for results."""
FP32, BF16, E4M3 = (by_name(name).code for name in ("fp32", "bf16", "e4m3"))
ZERO = SCALAR_OPERAND
ADD: Values = {"op": LaneOp.ADD, "a": ZERO, "b": ZERO, "rd": 1}
COMPARE: Values = {"op": LaneOp.FLT, "a": ZERO, "b": ZERO, "pd": 1}
EXP2: Values = {"op": FUNCTION_BASE + Function.EXP2, "a": ZERO, "rd": 1}
RANDOM: Values = {"op": PHILOX, "b": ZERO, "rd": 1}
USE: Values = {"op": LaneOp.ADD, "a": 1, "b": ZERO, "rd": 2}
UNDER: Values = ADD | {"rd": 2, "pred": 1}
FENCE: Values = {"control": Control.FENCE}
ADDRESS: Values = {"control": Control.ADDRESS, "imm": 8192, "imm2": 4}
SCALAR: Values = {"control": Control.ADD, "d": 1, "imm": 1}
USE_SCALAR: Values = {"control": Control.ADD, "d": 2, "sa": 1}


def load(fmt: int, **values: int) -> Values:
    return {"ld_en": 1, "ld_reg": 1, "ld_format": fmt, **values}


def store(fmt: int, **values: int) -> Values:
    return {"st_en": 1, "st_reg": 1, "st_format": fmt, **values}


@pytest.fixture(scope="module")
def measure() -> Iterator[Measure]:
    """Cycles of a launch that runs these bundles, which L1 and the instruction memory hold; `fetched`: from L1."""
    with gemel.open("nano", memory_bytes=1 << 20) as device:

        def run(*bundles: Values, fetched: bool = False) -> int:
            code = b"".join(encode_bundle(**values) for values in (*bundles, *[{}] * TAIL, {"control": Control.HALT}))
            count = len(code) // BUNDLE_BYTES
            code += bytes(-len(code) % 64)
            size = {"bytes": len(code), "valid_bytes": len(code), "count1": 1, "valid1": 1}
            fetch = encode(Opcode.LOAD, mem_reg=1, signal0=1, signal0_count=1, **size)
            fetch += encode(Opcode.VECTOR, run=0, fetch=count, wait0=1, wait0_count=1) + encode(Opcode.HALT)
            device.run(fetch, [device.upload(code)])
            again = encode(Opcode.VECTOR, fetch=count if fetched else 0)
            return device.run(again + encode(Opcode.HALT)).cycles

        yield run


UNITS = 8
"""Function units of the nano chip."""
DISTANCES: dict[str, tuple[Values, Values, int]] = {
    "arithmetic": (ADD, USE, timing.ARITHMETIC),
    "arithmetic to a store": (ADD, store(FP32), timing.ARITHMETIC),
    "a comparison": (COMPARE, UNDER, timing.ARITHMETIC),
    "the same register twice": (ADD, ADD, timing.ARITHMETIC),
    "a function": (EXP2, USE, timing.function(UNITS)),
    "the next function": (EXP2, EXP2 | {"rd": 2}, timing.function_interval(UNITS)),
    "random words": (RANDOM, USE, timing.RANDOM),
    "the next random words": (RANDOM, RANDOM | {"rd": 2}, timing.RANDOM_INTERVAL),
    "a load of FP32": (load(FP32), USE, timing.LOAD_TWO_BEATS),
    "a load of BF16": (load(BF16), USE, timing.LOAD_ONE_BEAT),
    "a load of E4M3": (load(E4M3), USE, timing.LOAD_ONE_BEAT),
    "a load of one element": (load(FP32, ld_element=1), USE, timing.LOAD_ONE_BEAT),
    "the next store": (store(FP32), store(FP32, st_col=1), timing.STORE_INTERVAL),
    "the next store of BF16": (store(BF16), store(BF16, st_col=1), timing.STORE_INTERVAL),
    "a fence": (store(FP32), FENCE, timing.STORE_VISIBLE),
    "a fence after BF16": (store(BF16), FENCE, timing.STORE_VISIBLE),
    "a scalar": (SCALAR, USE_SCALAR, timing.CONTROL),
    "a scalar from a vector": ({"control": Control.READ, "vector": 3, "d": 1}, USE_SCALAR, timing.CONTROL),
    "a predicate from a count": ({"control": Control.PSET, "imm": 5, "d": 1}, UNDER, timing.CONTROL),
    "an address": (ADDRESS, load(FP32), timing.CONTROL),
    "a step": (load(FP32, ld_post=1), load(FP32, ld_reg=2, ld_post=1), timing.CONTROL),
}
"""Two bundles, and how many cycles after the first one the second one issues."""


@pytest.mark.parametrize("name", DISTANCES)
def test_distances(measure: Measure, name: str) -> None:
    first, second, cycles = DISTANCES[name]
    assert measure(first, second) - measure(first) == cycles


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_loops(measure: Measure, count: int, length: int) -> None:
    """A loop's end costs nothing."""
    loop = {"control": Control.LOOP, "imm": count, "imm2": length}
    assert measure(loop, *[{}] * length) - measure() == 1 + timing.LOOP_PENALTY + count * length


@pytest.mark.parametrize(
    ("fmt", "slot", "interval"),
    [
        (FP32, load, timing.WIDE_LOAD_INTERVAL),
        (BF16, load, 1),
        (E4M3, load, 1),
        (FP32, store, timing.STORE_INTERVAL),
        (BF16, store, timing.STORE_INTERVAL),
    ],
)
def test_rates(measure: Measure, fmt: int, slot: Callable[..., Values], interval: int) -> None:
    """Accesses in a row, to different registers, beyond what may be under way."""
    prefix = "ld" if slot is load else "st"
    many = [slot(fmt, **{f"{prefix}_reg": i % 32, f"{prefix}_col": i}) for i in range(64)]
    assert measure(ADDRESS, *many) - measure(ADDRESS, *many[:32]) == 32 * interval


def test_loads_and_stores_beside_arithmetic(measure: Measure) -> None:
    """A load and a store of FP32 every other cycle, with arithmetic in each: no unit takes a cycle from another."""
    out = {"control": Control.ADDRESS, "d": 1, "imm": 32768, "imm2": 4}
    both = load(FP32, ld_reg=8) | store(FP32, st_reg=2, st_addr=1)
    bundles = []
    for i in range(32):
        column = {"ld_reg": 8 + i % 16, "ld_col": i, "st_col": i}
        bundles += [both | ADD | column | {"rd": 24 + i % 4}, ADD | {"rd": 28 + i % 4}]
    assert measure(ADDRESS, out, *bundles) - measure(ADDRESS, out) == 64


def test_a_program_runs_while_it_is_fetched(measure: Measure) -> None:
    """Two bundles come in a cycle, so that none waits but the first."""
    assert measure(*[{}] * 200, fetched=True) - measure(*[{}] * 200) == timing.FETCH


def test_loads_go_before_bundles(measure: Measure) -> None:
    """Each takes a cycle of the read port from the fetch; the compiler's estimate is at most one above."""
    loads = [load(BF16, ld_reg=i % 32, ld_col=i) for i in range(100)]
    bundles = [ADDRESS, *loads]
    code = b"".join(encode_bundle(**values) for values in (*bundles, *[{}] * TAIL, {"control": Control.HALT}))
    slower = estimate(code, fetched=range(len(code) // BUNDLE_BYTES)).cycles - estimate(code).cycles
    assert slower > 40
    assert slower - 1 <= measure(*bundles, fetched=True) - measure(*bundles) <= slower
