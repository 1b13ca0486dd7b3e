"""The vector core's golden model: bundles, layouts, formats, loops, predicates, races and faults."""

from typing import Any

import numpy as np
import pytest

from gemel_golden import l1 as layouts
from gemel_golden import lane_ops, philox
from gemel_golden.faults import Fault
from gemel_golden.formats import FORMATS, pack4
from gemel_golden.isa import FaultCode, Opcode, Unit, encode, lookup
from gemel_golden.lane_ops import LaneOp
from gemel_golden.rounding import from_fp32
from gemel_golden.vector import RaceError, VectorState, execute
from gemel_golden.vector_isa import (
    BUNDLE,
    BUNDLE_BYTES,
    FUNCTION_BASE,
    IOTA,
    LANES,
    PHILOX,
    SCALAR_OPERAND,
    Control,
    Permute,
    check_bundle,
    decode_bundle,
    encode_bundle,
)
from gemel_golden.widen import widen

L1 = 64 * 1024
CODE = L1 - 16 * 1024
HALT = {"control": Control.HALT}
LANE = np.arange(LANES)


def run(*bundles: dict[str, Any], state: VectorState | None = None, l1: Any = None, **fields: int) -> VectorState:
    """Execute bundles, HALT appended, fetched from the end of `l1`; the state after them."""
    state = state or VectorState()
    l1 = np.zeros(L1, np.uint8) if l1 is None else l1
    code = b"".join(encode_bundle(**b) for b in (*bundles, HALT))
    l1[CODE : CODE + len(code)] = np.frombuffer(code, np.uint8)
    raw = encode(Opcode.VECTOR, program=CODE, fetch=len(code) // BUNDLE_BYTES, **fields)
    row = lookup(raw)
    assert row is not None
    execute(row.decode(raw), state, l1)
    return state


def address(register: int, base: int, pitch: int, *, tile: bool) -> dict[str, int]:
    return {"control": Control.ADDRESS, "d": register, "imm": base, "imm2": pitch, "flag": tile}


def random_state(rng: np.random.Generator) -> VectorState:
    state = VectorState()
    state.vectors[:] = rng.integers(0, 1 << 32, state.vectors.shape)
    state.predicates[1:] = rng.random((3, LANES)) < 0.5
    return state


def test_encoding_round_trips_and_names_what_is_wrong(rng):
    values = {name: int(rng.integers(field.minimum, field.maximum + 1)) for name, field in BUNDLE.items()}
    values |= {"op": LaneOp.FMA, "control": Control.ADD, "ld_reg": 1, "rd": 2, "ld_format": 0, "st_format": 2}
    assert decode_bundle(encode_bundle(**values)) == values
    with pytest.raises(ValueError, match=r"a = 48 lies outside 0\.\.47"):
        encode_bundle(a=48)
    with pytest.raises(ValueError, match="both write vector register 3"):
        encode_bundle(op=LaneOp.ADD, rd=3, ld_en=1, ld_reg=3)
    with pytest.raises(ValueError, match="can't write predicate 0"):
        encode_bundle(op=LaneOp.FLT)
    assert check_bundle((1 << 63).to_bytes(32, "little")) == "reserved bit 63 is set"


@pytest.mark.parametrize("op", LaneOp)
def test_operations_with_modifiers_and_predicate(op, rng):
    state = random_state(rng)
    old, mask = state.vectors.copy(), state.predicates[1].copy()
    bundle = {"op": op, "rd": 9, "a": 1, "b": 2, "c": SCALAR_OPERAND + 3, "neg_a": 1, "abs_b": 1, "pred": 1, "pd": 2}
    run(bundle, state=state, x3=0x40400000)
    a, b, c = old[1] ^ np.uint32(1 << 31), old[2] & np.uint32(0x7FFF_FFFF), np.full(LANES, 0x40400000, np.uint32)
    expected = lane_ops.apply(op, a, b, c)
    if op.compares:
        np.testing.assert_array_equal(state.predicates[2], (expected != 0) & mask)
        np.testing.assert_array_equal(state.vectors, old)
    else:
        np.testing.assert_array_equal(state.vectors[9], np.where(mask, expected, old[9]))


@pytest.mark.parametrize("code", Permute)
def test_permutations(code, rng):
    state = random_state(rng)
    x = state.vectors[4].copy()
    run({"op": LaneOp.MOV, "rd": 5, "a": 4, "permute": code}, state=state)
    steps = {"UP": lambda i, s: i - s, "XOR": lambda i, s: i ^ s}
    name = code.name.rstrip("0123456789")
    fixed = {"NONE": LANE, "FIRST": 0 * LANE, "LAST": 0 * LANE + 31}
    source = fixed[name] if name in fixed else steps[name](LANE, int(code.name[len(name) :]))
    np.testing.assert_array_equal(state.vectors[5], [x[i] if i >= 0 else 0 for i in source])


def test_a_butterfly_of_additions_gives_every_lane_the_sum():
    state = VectorState()
    state.vectors[0] = np.arange(1, 33, dtype=np.float32).view(np.uint32)
    run(*({"op": LaneOp.ADD, "rd": 0, "a": 0, "b": 0, "permute": p} for p in range(1, 6)), state=state)
    assert (state.vectors[0].view(np.float32) == 528).all()


def test_functions_iota_and_philox(rng):
    state = VectorState()
    state.vectors[1] = np.float32(3).view(np.uint32)
    seed, tensor, group = 0x1234_5678_9ABC_DEF0, 77, int(rng.integers(1 << 30))
    numbers = {"x1": seed & 0xFFFF_FFFF, "x2": seed >> 32, "x3": tensor, "x4": group}
    run(
        {"op": FUNCTION_BASE, "rd": 2, "a": 1},
        {"op": IOTA, "rd": 3},
        {"op": PHILOX, "rd": 4, "b": SCALAR_OPERAND + 1},
        state=state,
        **numbers,
    )
    assert (state.vectors[2].view(np.float32) == 8).all()
    np.testing.assert_array_equal(state.vectors[3], LANE)
    np.testing.assert_array_equal(state.vectors[4], philox.element_words(seed, tensor, 4 * group + LANE))


@pytest.mark.parametrize("fmt", [f for f in FORMATS.values() if f.kind != "scale"], ids=str)
@pytest.mark.parametrize("layout", [0, 1])
def test_rows_in_both_layouts_and_every_format(fmt, layout, rng):
    """Rows of a matrix that `l1.write_rows` laid out are loaded, and stored to one that `l1.read_rows` reads."""
    rows, columns, base, pitch = 6, 3, 64 * 5, 4 if layout else 24
    codes = rng.integers(0, 1 << min(fmt.bits, 31), (rows, columns * LANES)).astype(fmt.storage)
    data = pack4(codes) if fmt.bits == 4 else codes.view(np.uint8)
    l1 = np.zeros(L1, np.uint8)
    layouts.write_rows(l1, layout, base // 32, pitch, data)
    r, c = int(rng.integers(rows)), int(rng.integers(columns))
    place = {"row": r - r // 2, "col": c, "format": fmt.code, "reg": 7, "en": 1}
    bundles = [
        address(0, base, pitch, tile=bool(layout)),
        {"control": Control.MOVE, "d": 0, "imm": r // 2},
        {f"ld_{name}": value for name, value in place.items()},
        address(1, 32 * 1024, pitch, tile=bool(layout)),
        {f"st_{name}": value for name, value in place.items()} | {"st_addr": 1, "st_row": 0},
    ]
    state = run(*bundles, l1=l1)
    expected = widen(codes[r, c * LANES : (c + 1) * LANES], fmt)
    np.testing.assert_array_equal(state.vectors[7], expected)
    stored = layouts.read_rows(l1, layout, 1024, pitch, 1, data.shape[1])[0]
    size = LANES * fmt.bits // 8
    back, _ = from_fp32(expected, fmt) if fmt.bits < 32 else (expected, None)
    wanted = pack4(back) if fmt.bits == 4 else back.view(np.uint8)
    np.testing.assert_array_equal(stored[c * size : (c + 1) * size], wanted)
    assert not stored[: c * size].any() and not stored[(c + 1) * size :].any()


def test_single_elements_and_masked_accesses():
    l1 = np.zeros(L1, np.uint8)
    l1[:128] = np.arange(32, dtype=np.float32).view(np.uint8)
    state = run(
        address(0, 0, 4, tile=False),
        address(1, 1024, 4, tile=False),
        {"control": Control.PSET, "d": 1, "imm": 5},
        {"ld_en": 1, "ld_reg": 1, "ld_element": 1, "ld_col": 9},
        {"ld_en": 1, "ld_reg": 2, "ld_pred": 1},
        {"st_en": 1, "st_reg": 1, "st_addr": 1, "st_pred": 1, "st_not": 1},
        {"st_en": 1, "st_reg": 2, "st_addr": 1, "st_element": 1, "st_col": 64, "st_format": FORMATS["bf16"].code},
        l1=l1,
    )
    assert (state.vectors[1].view(np.float32) == 9).all()
    np.testing.assert_array_equal(state.vectors[2].view(np.float32), np.where(LANE < 5, LANE, 0))
    np.testing.assert_array_equal(l1[1024:1152].view(np.float32), np.where(LANE < 5, 0, 9))
    assert l1[1152:1156].tolist() == [0, 0, 0, 0]


def test_stochastic_stores_take_the_high_bits_of_their_words(rng):
    l1, state = np.zeros(L1, np.uint8), random_state(rng)
    state.vectors[1] = rng.normal(size=LANES).astype(np.float32).view(np.uint32)
    words = state.vectors[2].copy()
    store = {"st_en": 1, "st_reg": 1, "st_random": 2, "st_stochastic": 1, "st_format": FORMATS["e4m3"].code}
    run(store, l1=l1, state=state)
    expected, _ = from_fp32(state.vectors[1], "e4m3", mode="stochastic", random=words >> 12)
    np.testing.assert_array_equal(l1[:32], expected)


def test_loops_nest_and_zero_times_skips():
    add = {"control": Control.ADD, "d": 1, "sa": 1, "imm": 1}
    state = run(
        {"control": Control.LOOP, "imm": 3, "imm2": 4},
        add,
        {"control": Control.LOOP, "sa": 9, "imm": 0, "imm2": 1},
        add,
        {},
        {"control": Control.LOOP, "imm": 0, "imm2": 1},
        add,
        {"op": LaneOp.MOV, "rd": 1, "a": SCALAR_OPERAND + 1},
        x9=4,
    )
    assert (state.vectors[1] == 3 * (1 + 4)).all()


def test_scalars_and_read():
    state = VectorState()
    state.vectors[6] = np.arange(32) + 100
    run(
        {"control": Control.READ, "d": 1, "vector": 6},
        {"control": Control.SUB, "d": 2, "sa": 1, "imm": 1},
        {"control": Control.SHL, "d": 3, "sa": 2, "imm": 4},
        {"control": Control.SHR, "d": 4, "sa": 3, "imm": 36},
        {"control": Control.AND, "d": 5, "sa": 3, "sb": 0, "imm": 0xF0},
        {"control": Control.ADD, "d": 0, "imm": 5},
        *({"op": LaneOp.MOV, "rd": i, "a": SCALAR_OPERAND + i} for i in range(6)),
        state=state,
    )
    assert state.vectors[:6, 0].tolist() == [0, 100, 99, 99 << 4, 99, (99 << 4) & 0xF0]


def test_slots_read_before_they_write():
    state = VectorState()
    state.vectors[1], state.vectors[2] = 7, 9
    l1 = np.zeros(L1, np.uint8)
    run(
        {"op": LaneOp.IADD, "rd": 1, "a": 1, "b": 2, "ld_en": 1, "ld_reg": 2, "st_en": 1, "st_reg": 1, "st_col": 4},
        state=state,
        l1=l1,
    )
    assert state.vectors[1:3, 0].tolist() == [16, 0]
    assert (l1[512:640].view(np.uint32) == 7).all()


def test_registers_last_and_the_memory_keeps_programs():
    state, l1 = VectorState(), np.zeros(L1, np.uint8)
    run({"op": LaneOp.IADD, "rd": 1, "a": 1, "b": SCALAR_OPERAND + 1}, state=state, l1=l1, x1=5)
    again = lookup(raw := encode(Opcode.VECTOR, x1=6))
    assert again is not None
    execute(again.decode(raw), state, l1)
    assert (state.vectors[1] == 11).all()


def test_a_load_of_what_was_stored_needs_a_fence():
    store, load = {"st_en": 1, "st_format": 2}, {"ld_en": 1, "ld_reg": 1, "ld_format": 2}
    run(store, {"control": Control.FENCE}, load)
    with pytest.raises(RaceError, match="bundle 1 loads what an earlier bundle stored"):
        run(store, load)


def test_a_store_over_what_is_fetched_is_an_error():
    """The copy goes on while the program runs."""
    store = {"st_en": 1, "st_format": 2}
    run(address(0, CODE - 64, 4, tile=False), store)
    with pytest.raises(RaceError, match="bundle 1 stores over bundles that this VECTOR fetches"):
        run(address(0, CODE, 4, tile=False), store)


@pytest.mark.parametrize(("start", "where"), [(L1 - 64, L1), (L1, L1), (1 << 40, 1 << 40), (96, 96)])
def test_code_beyond_l1_is_refused_as_a_whole(start, where):
    raw = encode(Opcode.VECTOR, program=start & ~63, fetch=3)
    row, state, l1 = lookup(raw), VectorState(), np.full(L1, 255, np.uint8)
    assert row is not None
    with pytest.raises(Fault) as raised:
        execute(row.decode(raw) | {"program": start}, state, l1)
    assert (raised.value.code, raised.value.address) == (FaultCode.L1_ADDRESS, where)
    assert state.bundles == VectorState().bundles


@pytest.mark.parametrize(
    ("bundles", "code", "where"),
    [
        ([address(0, L1, 4, tile=False), {"ld_en": 1}], FaultCode.L1_ADDRESS, L1),
        ([address(0, L1 - 64, 4, tile=False), {"st_en": 1}], FaultCode.L1_ADDRESS, L1),
        ([address(0, 33, 4, tile=True), {"ld_en": 1}], FaultCode.L1_ADDRESS, 33),
        ([{"control": Control.LOOP, "imm": 1}], FaultCode.LOOP_NESTING, 0),
        ([{"control": Control.LOOP, "imm": 1, "imm2": 9}] * 5, FaultCode.LOOP_NESTING, 0),
    ],
)
def test_faults(bundles, code, where):
    with pytest.raises(Fault) as raised:
        run(*bundles)
    assert (raised.value.code, raised.value.unit, raised.value.address) == (code, Unit.VECTOR, where)


def test_chunks_without_a_lane_are_not_accessed():
    """A mask that leaves the chunks beyond L1 out is fine."""
    state = run(
        address(0, L1 - 64, 4, tile=False),
        {"control": Control.PSET, "d": 1, "imm": 16},
        {"ld_en": 1, "ld_reg": 1, "ld_pred": 1},
    )
    assert not state.vectors[1][16:].any()
