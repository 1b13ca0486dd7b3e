"""What a recording says of each kernel: cycles, work, bytes, and what every unit did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemel.driver.recording import DeviceRecord, LaunchRecord, Recording
from gemel_golden.activity import Activity
from gemel_golden.config import ChipConfig
from gemel_golden.isa import Unit
from gemel_golden.vector_isa import LANES

__all__ = ["Kernel", "Profile", "class_name", "profile_of"]


@dataclass(kw_only=True)
class Kernel:
    """All launches of one name on one chip.

    `cycles` from doorbell to interrupt, `core_cycles` those that its counters tell of, from the first instruction to
    the drained core, added up where it ran on several cores; `ring_cycles` the rest of the launches that have counters,
    before and after the slowest of their cores. Bytes are those that LOAD and STORE counted; on a chip without a clock
    those of the programs. `memory`: what each channel of DRAM did, by the names of its registers; `copies` the same of
    the copy engine, for copies.
    """

    name: str
    chip: ChipConfig
    launches: int = 0
    cycles: int = 0
    core_cycles: int = 0
    ring_cycles: int = 0
    macs: int = 0
    peak_cycles: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    work: Counter[str] = field(default_factory=Counter)
    units: dict[Unit, Counter[Activity]] = field(default_factory=lambda: defaultdict(Counter))
    latencies: Counter[int] = field(default_factory=Counter)
    memory: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    copies: Counter[str] = field(default_factory=Counter)

    def add(self, launch: LaunchRecord, timed: bool) -> None:
        """Count one more launch."""
        self.launches += 1
        self.cycles += launch.cycles
        self.macs += launch.work.macs
        self.peak_cycles += launch.work.peak_cycles
        for channel, counts in enumerate(launch.memory):
            self.memory[channel].update(counts)
        self.copies.update(launch.copies)
        if not (timed and launch.counters):
            self.bytes_read += launch.work.bytes_read
            self.bytes_written += launch.work.bytes_written
            return
        self.ring_cycles += launch.cycles - max(counters.cycles for counters in launch.counters.values())
        for counters in launch.counters.values():
            self.core_cycles += counters.cycles
            self.bytes_read += counters.work["load_bytes"]
            self.bytes_written += counters.work["store_bytes"]
            self.work.update(counters.work)
            for unit, classes in counters.units.items():
                self.units[unit].update(classes)
            self.latencies.update(counters.latencies)

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def utilisation(self) -> float | None:
        """Share of the dot units' peak for the operands' formats; ``None`` without a clock."""
        return self.peak_cycles / self.cycles if self.cycles else None

    @property
    def vector_operations(self) -> int:
        """Operations of the vector core's lanes: bundles times lanes."""
        return self.units[Unit.VECTOR][Activity.BUSY] * LANES

    def share(self, unit: Unit, activity: Activity) -> float:
        """Share of the counted cycles in which `unit` was of a class."""
        return self.units[unit][activity] / self.core_cycles if self.core_cycles else 0.0

    def bandwidth_utilisation(self, bandwidth: float) -> float | None:
        """Bytes of what memory could have moved meanwhile: DRAM's reads and writes share its rate; of an ideal memory
        those read or those written, whichever are more."""
        if not self.cycles or not bandwidth:
            return None
        moved = self.bytes_moved if self.chip.drams else max(self.bytes_read, self.bytes_written)
        return moved / (self.cycles * bandwidth)

    def as_dict(self, bandwidth: float) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "chip": self.chip.name,
            "launches": self.launches,
            "cycles": self.cycles or None,
            "core_cycles": self.core_cycles or None,
            "ring_cycles": self.ring_cycles or None,
            "macs": self.macs,
            "utilisation": self.utilisation,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "bandwidth_utilisation": self.bandwidth_utilisation(bandwidth),
            "work": dict(self.work),
            "units": {
                unit.name.lower(): {kind.name.lower(): classes[kind] for kind in Activity}
                for unit, classes in self.units.items()
            },
            "latencies": {least: count for least, count in sorted(self.latencies.items()) if count},
            "memory": [dict(counts) for _, counts in sorted(self.memory.items())],
            "copies": dict(self.copies),
        }


def class_name(kind: Activity) -> str:
    """A class in words, for tables and pictures."""
    return "no instruction" if kind == Activity.INSTRUCTION else kind.name.lower()


@dataclass(kw_only=True)
class Profile:
    """Kernels of a recording, those with most cycles first, and the devices that ran them."""

    devices: Sequence[DeviceRecord]
    kernels: Sequence[Kernel]
    timed: bool

    @property
    def cycles(self) -> int:
        """Cycles of all launches."""
        return sum(kernel.cycles for kernel in self.kernels)

    @property
    def bandwidth(self) -> float:
        """Bytes a cycle that all channels of the first device's memory move."""
        return self.devices[0].bandwidth * self.devices[0].chip.channels

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"timed": self.timed, "kernels": [kernel.as_dict(self.bandwidth) for kernel in self.kernels]}


def profile_of(recording: Recording) -> Profile:
    """Sum launches up by chip and name. Where chips with a clock took part, the others are left out.

    Raises ValueError when nothing was launched.
    """
    used = [device for device in recording.devices if device.launches]
    if not used:
        raise ValueError("there is nothing to report: no program was launched on a chip")
    timed = any(device.timed for device in used)
    devices = [device for device in used if device.timed == timed]
    return Profile(devices=devices, kernels=_kernels(devices, timed), timed=timed)


def _kernels(devices: Iterable[DeviceRecord], timed: bool) -> list[Kernel]:
    kernels: dict[tuple[str, str], Kernel] = {}
    for device in devices:
        for launch in device.launches:
            key = (device.chip.name, launch.name)
            kernels.setdefault(key, Kernel(name=launch.name, chip=device.chip)).add(launch, timed)
    return sorted(kernels.values(), key=lambda kernel: -kernel.cycles)
