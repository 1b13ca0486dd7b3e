"""The sequencer issues what golden's issues: random programs, loops, faults, and how many cycles it takes."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from gemel_golden.config import config
from gemel_golden.core import Core
from gemel_golden.faults import Fault
from gemel_golden.isa import INSTRUCTIONS, LOOP_DEPTH, FaultCode, Field, Opcode, Unit, encode
from gemel_rtl.sequencer.sequencer import Sequencer
from gemel_verif.runner import simulate

CHIP = config("nano")
MEMORY = 1 << 20
UNIT_OPCODES = (Opcode.LOAD, Opcode.MATMUL, Opcode.STORE)
HALT = encode(Opcode.HALT)
END = encode(Opcode.END)


class Noting(Core):
    """Golden's sequencer, with units that only note what they are given."""

    def __init__(self, memory: np.ndarray):
        super().__init__(CHIP, memory)
        self.issued: dict[str, list[tuple[int, dict[str, int]]]] = {"load": [], "tensor": [], "store": []}
        self.synced: list[tuple[str, dict[str, int]]] = []

    def _execute(self, unit: Unit) -> bool:
        queue = self.queues[unit]
        while queue:
            issued = queue.popleft()
            self.issued[unit.name.lower()].append((issued.pc, dict(issued.values)))
        return False

    def _nop(self, values: dict[str, int]) -> bool:
        for kind in ("wait", "signal"):
            if values[f"{kind}0_count"] or values[f"{kind}1_count"]:
                pair = {f"sem{i}": values[f"{kind}{i}"] for i in (0, 1)}
                self.synced.append((kind, pair | {f"count{i}": values[f"{kind}{i}_count"] for i in (0, 1)}))
        self.pc += 1
        return True

    def _signal_cores(self, values: dict[str, int]) -> bool:
        return self._nop(values)


def some(rng: np.random.Generator, field: Field) -> int:
    """A legal value of a field."""
    if field.legal is not None:
        return int(rng.choice(field.legal))
    return int(rng.integers(field.minimum, field.maximum, endpoint=True, dtype=np.int64 if field.signed else np.uint64))


def instruction(rng: np.random.Generator, opcode: Opcode) -> bytes:
    """An instruction with legal values throughout; a mask of cores names this one only."""
    fields = [field for field in INSTRUCTIONS[opcode].all_fields if field.name != "cores"]
    return encode(opcode, **{field.name: some(rng, field) for field in fields})


def body(rng: np.random.Generator, size: int, depth: int) -> list[bytes]:
    """About `size` instructions with loops nested up to `depth` more."""
    code: list[bytes] = []
    while len(code) < size:
        kind = rng.random()
        if kind < 0.25 and depth:
            count = int(rng.integers(1, 4))
            inner = body(rng, int(rng.choice([0, 1, 2, 5, 12, 20])), depth - 1)
            code += [encode(Opcode.LOOP, count=count), *inner, END]
        elif kind < 0.5:
            code.append(instruction(rng, Opcode.SET))
        elif kind < 0.6:
            opcode = Opcode.NOP if rng.random() < 0.5 else Opcode.SIGNAL
            code.append(instruction(rng, opcode) if rng.random() < 0.7 else encode(opcode))
        elif kind < 0.65:
            code.append(encode(Opcode.FENCE if rng.random() < 0.5 else Opcode.BARRIER))
        else:
            code.append(instruction(rng, UNIT_OPCODES[int(rng.integers(len(UNIT_OPCODES)))]))
    return code


def run(
    programs: list[list[bytes]],
    rng: np.random.Generator,
    *,
    stall: float = 0.0,
    latency: int = 3,
    broken: int | None = None,
) -> list[dict[str, Any]]:
    """Run programs on golden and on the RTL; everything but time must be equal. The RTL's results."""
    memory = np.zeros(MEMORY, np.uint8)
    launches, expected = [], []
    at = 0
    for code in programs:
        at += 64 * int(rng.integers(1, 70))
        raw = b"".join(code)
        memory[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
        arguments = [int(word) for word in rng.integers(0, 1 << 64, int(rng.integers(0, 32)), np.uint64)]
        launches.append({"address": at, "length": len(code), "arguments": arguments})
        at += len(raw)
    for launch in launches:
        core = Noting(memory)
        core.launch(**launch)
        fault = None
        try:
            assert core.run(), "golden doesn't halt"
        except Fault as raised:
            fault = {"code": int(raised.code), "pc": raised.pc, "address": raised.address}
        expected.append((core, fault))
    inputs = {
        "config": CHIP.name,
        "seed": int(rng.integers(1 << 30)),
        "memory": memory,
        "programs": launches,
        "latency": latency,
        "stall": stall,
        "broken": () if broken is None else (launches[0]["address"] + 64 * broken,),
        "limit": 20000,
    }
    results = simulate(Sequencer(CHIP), "gemel_sequencer", "tb_sequencer", inputs)["results"]
    for (core, fault), result in zip(expected, results, strict=True):
        issued = {
            unit: [
                (pc, INSTRUCTIONS[Opcode(bits & 0xFF)].decode(bits.to_bytes(64, "little")))
                for name, pc, bits, _ in result["issued"]
                if name == unit
            ]
            for unit in core.issued
        }
        if fault is None and broken is None:
            assert issued == core.issued
        assert result["synced"] == core.synced[: len(result["synced"])]
        if broken is None:
            assert result["fault"] == fault
            assert len(result["synced"]) == len(core.synced)
    return results


@pytest.mark.parametrize(("stall", "latency"), [(0.0, 1), (0.0, 40), (0.4, 5)])
def test_random_programs(rng: np.random.Generator, stall: float, latency: int) -> None:
    run([[*body(rng, 30, LOOP_DEPTH), HALT] for _ in range(12)], rng, stall=stall, latency=latency)


@cache
def faulty() -> dict[str, list[bytes]]:
    """Programs that fault, by what is wrong with them."""
    nop, loop = encode(Opcode.NOP), encode(Opcode.LOOP, count=2)
    programs = {
        "no HALT": [nop, nop],
        "END without LOOP": [nop, END, HALT],
        "five loops": [loop] * 5 + [END] * 5 + [HALT],
        "a rank that the launch hasn't": [nop, encode(Opcode.SIGNAL, cores=3, signal0=1, signal0_count=1), HALT],
    }
    for opcode in (0x08, 0x0F, 0x1F, 0x31, 0xFF):
        programs[f"opcode {opcode:#x}"] = [nop, bytes([opcode]) + bytes(63), HALT]
    for opcode, row in INSTRUCTIONS.items():
        good = int.from_bytes(encode(opcode), "little")
        for bit in range(8, 512):
            if not row.used_bits >> bit & 1 and (bit % 7 == 0 or row.used_bits >> (bit - 1) & 1):
                programs[f"{row.name} bit {bit}"] = [nop, (good | 1 << bit).to_bytes(64, "little"), HALT]
        for field in row.all_fields:
            clear = good & ~field.insert(-1)
            wrong = {field.minimum - 1, field.maximum + 1, *([] if field.legal is None else range(1 << field.width))}
            for value in wrong:
                fits = -(1 << field.width - 1) if field.signed else 0, (1 << field.width - field.signed) - 1
                if fits[0] <= value <= fits[1] and (field.legal is None or value not in field.legal):
                    raw = (clear | field.insert(value)).to_bytes(64, "little")
                    programs[f"{row.name} {field.name} = {value}"] = [nop, raw, HALT]
    return programs


@pytest.mark.parametrize("share", range(3))
def test_faults(rng: np.random.Generator, share: int) -> None:
    programs = list(faulty().values())[share::3]
    good = [encode(Opcode.SET, rd=1, imm=5), instruction(rng, Opcode.LOAD), HALT]
    results = run([*programs, good], rng)
    assert all(result["fault"] for result in results[:-1])


def test_fetch_fault(rng: np.random.Generator) -> None:
    """A bad answer, here SLVERR, counts only when its instruction is reached."""
    nop = encode(Opcode.NOP)
    first, second = run([[nop, nop, HALT], [nop, HALT]], rng, broken=2)
    assert first["fault"] is not None and first["fault"]["code"] == FaultCode.ECC_MEMORY and first["fault"]["pc"] == 2
    assert second["fault"] is None
    skipped, _ = run([[nop, HALT, nop], [nop, HALT]], rng, broken=2)
    assert skipped["fault"] is None


def test_loop_bodies_stay_in_the_window(rng: np.random.Generator) -> None:
    size = CHIP.fetch_depth - 2
    code = [encode(Opcode.LOOP, count=9), *[encode(Opcode.SET, rd=3)] * (size - 1), END, HALT]
    (result,) = run([code], rng, latency=60)
    assert sum(beats for *_, beats in result["bursts"]) == len(code)


def cycles_per_turn(rng: np.random.Generator, inner: list[bytes]) -> float:
    """Cycles that one more turn of a loop takes."""
    results = run([[encode(Opcode.LOOP, count=count), *inner, END, HALT] for count in (10, 110)], rng)
    return (results[1]["cycles"] - results[0]["cycles"]) / 100


def test_control_takes_two_cycles_each(rng: np.random.Generator) -> None:
    assert cycles_per_turn(rng, [encode(Opcode.SET, rd=2)]) == 4


@pytest.mark.parametrize(("opcode", "cycles"), [(Opcode.LOAD, 2), (Opcode.STORE, 2), (Opcode.MATMUL, 4)])
def test_issue_rate(rng: np.random.Generator, opcode: Opcode, cycles: int) -> None:
    assert cycles_per_turn(rng, [instruction(rng, opcode)]) == cycles + 2
