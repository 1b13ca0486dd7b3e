"""How much work a program is, found by reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gemel_golden.config import ChipConfig
from gemel_golden.formats import by_code
from gemel_golden.isa import INSTRUCTION_BYTES, Opcode, lookup

__all__ = ["Work", "mnemonics", "work_of"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Multiply-accumulates; cycles that the dot units need for them; bytes moved between memory and L1."""

    macs: int = 0
    peak_cycles: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0

    def times(self, cores: int) -> Work:
        """That of several cores, each of which runs the program."""
        return Work(
            macs=self.macs * cores,
            peak_cycles=self.peak_cycles,
            bytes_read=self.bytes_read * cores,
            bytes_written=self.bytes_written * cores,
        )


def _instructions(program: bytes) -> list[tuple[Opcode | None, Mapping[str, int]]]:
    rows = []
    for at in range(0, len(program), INSTRUCTION_BYTES):
        raw = program[at : at + INSTRUCTION_BYTES]
        row = lookup(raw)
        rows.append((None, {}) if row is None else (row.opcode, row.decode(raw)))
    return rows


def mnemonics(program: bytes) -> list[str]:
    """The name of each instruction; "?" for one that doesn't exist."""
    return ["?" if opcode is None else opcode.name for opcode, _ in _instructions(program)]


def work_of(program: bytes, chip: ChipConfig) -> Work:
    """The work of a whole run, loops included; what the vector core computes depends on data and isn't counted."""
    macs, read, written, peak = 0, 0, 0, 0.0
    times = [1]
    for opcode, v in _instructions(program):
        many = times[-1]
        if opcode == Opcode.LOOP:
            times.append(many * v["count"])
        elif opcode == Opcode.END and len(times) > 1:
            times.pop()
        elif opcode == Opcode.MATMUL:
            count = many * v["m"] * v["n"] * v["k"]
            bits = [by_code(v[f"{operand}_format"]).bits for operand in "ab"]
            macs += count
            peak += count / (chip.macs_16bit if max(bits) == 16 else chip.macs_8bit * (2 if max(bits) == 4 else 1))
        elif opcode == Opcode.LOAD:
            rows = many * min(v["valid1"], v["count1"]) * v["count2"] * v["count3"]
            read += rows * min(v["bytes"], v["valid_bytes"])
        elif opcode == Opcode.STORE:
            written += many * v["count1"] * v["count2"] * v["count3"] * v["bytes"]
    return Work(macs=macs, peak_cycles=peak, bytes_read=read, bytes_written=written)
