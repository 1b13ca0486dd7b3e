"""Schedules keep every order that their regions ask for, with two waits and two signals to an instruction."""

import numpy as np
import pytest

from gemel.kernels.schedule import Region, Schedule
from gemel_golden.isa import INSTRUCTION_BYTES, Opcode, Unit, lookup

UNITS = {Opcode.LOAD: Unit.LOAD, Opcode.STORE: Unit.STORE, Opcode.MATMUL: Unit.TENSOR, Opcode.VECTOR: Unit.VECTOR}
REAL = {Opcode.VECTOR: {"run": 1}}
"""Fields that tell an instruction from one that only waits."""


def latest(a: dict[Unit, int], b: dict[Unit, int]) -> dict[Unit, int]:
    return {unit: max(a.get(unit, -1), b.get(unit, -1)) for unit in a | b}


def known_before(program: bytes) -> list[tuple[int, dict[Unit, int]]]:
    """Of each real instruction its place in the program, and the last place of each unit that is done before it."""
    given: dict[int, list[dict[Unit, int]]] = {}
    known: dict[Unit, dict[Unit, int]] = {unit: {} for unit in Unit}
    found = []
    for place in range(len(program) // INSTRUCTION_BYTES):
        raw = program[place * INSTRUCTION_BYTES : (place + 1) * INSTRUCTION_BYTES]
        row = lookup(raw)
        assert row is not None
        if row.opcode == Opcode.FENCE:
            known = {unit: dict.fromkeys(Unit, place) for unit in Unit}
        if not row.synchronises:
            continue
        values = row.decode(raw)
        for kind in ("wait0", "wait1"):
            if values[f"{kind}_count"]:
                known[row.unit] = latest(known[row.unit], given[values[kind]].pop(0))
        if row.unit == Unit.SEQUENCER:
            known = {unit: latest(before, known[Unit.SEQUENCER]) for unit, before in known.items()}
        if row.unit != Unit.SEQUENCER and values.get("run", 1):
            found.append((place, known[row.unit]))
        for kind in ("signal0", "signal1"):
            if values[f"{kind}_count"]:
                given.setdefault(values[kind], []).append({**known[row.unit], row.unit: place})
    assert not any(given.values()), "every signal is waited for"
    return found


def random_schedule(rng: np.random.Generator) -> tuple[bytes, list[dict[Unit, int]]]:
    """A program, and what each of its instructions must come after, by the order of emission."""
    regions = [Region(64 * i, 64) for i in range(6)]
    reads: dict[Region, dict[Unit, int]] = {region: {} for region in regions}
    writes: dict[Region, dict[Unit, int]] = {region: {} for region in regions}
    schedule, wanted = Schedule(), []
    for number in range(80):
        opcode = list(UNITS)[int(rng.integers(4))]
        unit = UNITS[opcode]
        uses = rng.integers(0, 4, len(regions))
        read = [region for region, use in zip(regions, uses, strict=True) if use == 1]
        written = [region for region, use in zip(regions, uses, strict=True) if use == 2]
        schedule.emit(opcode, REAL.get(opcode, {}), reads=read, writes=written)
        needs: dict[Unit, int] = {}
        for region in read:
            needs = latest(needs, writes[region])
        for region in written:
            others = latest(writes[region], reads[region])
            needs = latest(needs, {u: n for u, n in others.items() if u != unit})
        wanted.append(needs)
        for region in read:
            reads[region][unit] = number
        for region in written:
            writes[region][unit] = number
    return schedule.encode(), wanted


@pytest.mark.parametrize("turn", range(20))
def test_every_order_is_kept(turn, rng):
    program, wanted = random_schedule(np.random.default_rng([turn, int(rng.integers(1 << 30))]))
    found = known_before(program)
    places = [place for place, _ in found]
    missing = [
        (number, unit)
        for number, needs in enumerate(wanted)
        for unit, before in needs.items()
        if found[number][1].get(unit, -1) < places[before]
    ]
    assert missing == []
