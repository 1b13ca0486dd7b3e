"""The C interface of a built chip through ctypes: signatures once, sentences as exceptions."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS: tuple[str, ...] = ("ar", "r", "aw", "w", "b")


class SimulationError(RuntimeError):
    """The simulated chip broke a bus rule, or the simulator can't do what was asked."""


class COptions(ctypes.Structure):
    """`gemel_options` of gemel.h."""

    _fields_ = (
        ("memory_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("latency", ctypes.c_uint32),
        ("bandwidth_bytes", ctypes.c_uint32),
        ("bandwidth_cycles", ctypes.c_uint32),
        ("reorder", ctypes.c_uint32),
        ("stalls", ctypes.c_double * len(CHANNELS)),
    )


class CTraffic(ctypes.Structure):
    """`gemel_traffic` of gemel.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("read_bytes", "written_bytes", "activates", "refreshes"))


EVENT = np.dtype([("unit", "u4"), ("pc", "u4"), ("queued", "u8"), ("start", "u8"), ("stop", "u8")])
"""`gemel_event` of gemel.h."""
SAMPLE = np.dtype([(name, "u8") for name in ("cycle", "port", "read_bytes", "written_bytes", "activates", "refreshes")])
"""`gemel_sample` of gemel.h."""

_CHIP = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "gemel_new": (_CHIP, [ctypes.POINTER(COptions)]),
    "gemel_free": (None, [_CHIP]),
    "gemel_memory": (ctypes.c_void_p, [_CHIP]),
    "gemel_configure": (None, [_CHIP, ctypes.POINTER(COptions)]),
    "gemel_reset": (None, [_CHIP]),
    "gemel_read_register": (ctypes.c_int, [_CHIP, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]),
    "gemel_write_register": (ctypes.c_int, [_CHIP, ctypes.c_uint32, ctypes.c_uint32]),
    "gemel_run": (ctypes.c_int, [_CHIP, ctypes.c_uint64, ctypes.c_int]),
    "gemel_settle": (ctypes.c_int, [_CHIP]),
    "gemel_flip": (ctypes.c_int, [_CHIP, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint8]),
    "gemel_state": (
        ctypes.c_int,
        [_CHIP, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, *[ctypes.POINTER(ctypes.c_uint32)] * 2],
    ),
    "gemel_save": (ctypes.c_size_t, [_CHIP]),
    "gemel_restore": (ctypes.c_int, [_CHIP, ctypes.c_size_t]),
    "gemel_upset": (ctypes.c_int, [_CHIP, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32]),
    "gemel_flip_read": (ctypes.c_int, [_CHIP, ctypes.c_uint32, ctypes.c_uint32]),
    "gemel_cycles": (ctypes.c_uint64, [_CHIP]),
    "gemel_bus_traffic": (CTraffic, [_CHIP]),
    "gemel_events": (ctypes.c_size_t, [_CHIP, ctypes.c_void_p, ctypes.c_size_t]),
    "gemel_sample_every": (None, [_CHIP, ctypes.c_uint64]),
    "gemel_samples": (ctypes.c_size_t, [_CHIP, ctypes.c_void_p, ctypes.c_size_t]),
    "gemel_error": (ctypes.c_char_p, [_CHIP]),
    "gemel_waves": (ctypes.c_int, [_CHIP, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64]),
}


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """How an ideal memory behind the chip's bus behaves; DRAM keeps to its own times.

    Parameters: `latency` in cycles from an address to its first beat (at least 1), `bandwidth` in bytes per cycle each
    way (above 0; the bus itself moves 64), `stalls` a probability for every channel or one for each of ar, r, aw, w, b,
    `reorder` lets bursts of different ids overtake each other, `seed` of all this. Raises ValueError beyond the limits.
    """

    latency: int = 100
    bandwidth: float | Fraction = 64
    stalls: float | Mapping[str, float] = 0.0
    reorder: bool = False
    seed: int = 0

    fractions: dict[str, float] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.latency <= 1 << 20:
            raise ValueError(f"a memory latency lies between 1 and {1 << 20} cycles, not {self.latency}")
        if not 0.001 <= self.bandwidth <= 1 << 20:
            raise ValueError(f"a memory bandwidth lies between 0.001 and {1 << 20} bytes a cycle, not {self.bandwidth}")
        stalls = self.stalls if isinstance(self.stalls, Mapping) else dict.fromkeys(CHANNELS, self.stalls)
        for channel, probability in stalls.items():
            if channel not in CHANNELS:
                raise ValueError(f"no bus channel {channel!r} to stall; there are {', '.join(CHANNELS)}")
            if not 0 <= probability < 1:
                raise ValueError(f"the stall probability of {channel} lies in 0 <= p < 1, not {probability}")
        self.fractions.update(dict(stalls))

    def c(self, memory_bytes: int) -> COptions:
        """The C structure."""
        rate = Fraction(self.bandwidth).limit_denominator(1000)
        stalls = (ctypes.c_double * len(CHANNELS))(*(self.fractions.get(channel, 0.0) for channel in CHANNELS))
        return COptions(
            memory_bytes, self.seed, self.latency, rate.numerator, rate.denominator, int(self.reorder), stalls
        )


class Chip:
    """One simulated chip of a library: the calls of gemel.h with Python's types."""

    def __init__(self, path: Path, memory_bytes: int, options: MemoryOptions):
        if memory_bytes < 4096 or memory_bytes % 4096:
            raise ValueError(f"device memory is a multiple of 4096 bytes, not {memory_bytes}")
        self._c = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._c, name)
            function.restype, function.argtypes = result, arguments
        self._chip: int | None = self._c.gemel_new(ctypes.byref(options.c(memory_bytes)))
        if self._chip is None:
            raise SimulationError(self._c.gemel_error(None).decode())
        pointer = ctypes.cast(self._c.gemel_memory(self._chip), ctypes.POINTER(ctypes.c_uint8))
        self.memory: NDArray[np.uint8] = np.ctypeslib.as_array(pointer, (memory_bytes,))

    def configure(self, options: MemoryOptions) -> None:
        """Another behaviour of the memory from now on."""
        self._c.gemel_configure(self._chip, ctypes.byref(options.c(len(self.memory))))

    def reset(self) -> None:
        """Reset the chip; memory keeps its bytes."""
        self._c.gemel_reset(self._chip)

    def read_register(self, offset: int) -> int:
        """The 32 bits at `offset`; SimulationError when the port answers with an error."""
        value = ctypes.c_uint32()
        self._answer("read", offset, self._c.gemel_read_register(self._chip, offset, ctypes.byref(value)))
        return value.value

    def write_register(self, offset: int, value: int) -> None:
        """Write 32 bits; SimulationError when the port answers with an error."""
        self._answer("write", offset, self._c.gemel_write_register(self._chip, offset, value))

    def _answer(self, what: str, offset: int, response: int) -> None:
        if response < 0:
            raise self._error()
        if response:
            raise SimulationError(f"register {what} at offset {offset:#x} was answered with response {response}")

    def run(self, cycles: int, until_interrupt: bool = True) -> bool:
        """Run up to `cycles`; whether the interrupt line is high. SimulationError when a bus rule is broken."""
        reason = self._c.gemel_run(self._chip, cycles, int(until_interrupt))
        if reason < 0:
            raise self._error()
        return reason == 1

    def settle(self) -> None:
        """Run until `memory` has all writes that the chip has answered. SimulationError when a bus rule is broken."""
        if self._c.gemel_settle(self._chip) < 0:
            raise self._error()

    def flip(self, address: int, data: int = 0, check: int = 0) -> None:
        """Flip stored bits of the 64-bit word at `address` in DRAM; SimulationError in an ideal memory."""
        if self._c.gemel_flip(self._chip, address, data, check):
            raise SimulationError("an ideal memory has no check bits, so none of its stored bits can be flipped")

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return self._c.gemel_cycles(self._chip)

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes moved over the memory port since reset: read, written."""
        traffic = self._c.gemel_bus_traffic(self._chip)
        return traffic.read_bytes, traffic.written_bytes

    def events(self) -> NDArray[Any]:
        """Instructions finished since the last call, as records `EVENT`."""
        return self._taken(self._c.gemel_events, EVENT)

    def sample_every(self, interval: int) -> None:
        """Note the traffic of every memory port now and then every `interval` cycles; 0: no more."""
        self._c.gemel_sample_every(self._chip, interval)

    def samples(self) -> NDArray[Any]:
        """Traffic noted since the last call, as records `SAMPLE` of counts since reset."""
        return self._taken(self._c.gemel_samples, SAMPLE)

    def _taken(self, take: Any, shape: np.dtype[Any]) -> NDArray[Any]:
        """All that a function moves out."""
        parts: list[NDArray[Any]] = []
        while True:
            part = np.empty(4096, shape)
            count = take(self._chip, part.ctypes.data, len(part))
            parts.append(part[:count])
            if count < len(part):
                return np.concatenate(parts)

    def states(self) -> list[tuple[str, int, int]]:
        """What a build with upsets can flip: name, bits of an entry, entries; `upset` counts as this list does."""
        found: list[tuple[str, int, int]] = []
        name, bits, entries = ctypes.create_string_buffer(1024), ctypes.c_uint32(), ctypes.c_uint32()
        while self._c.gemel_state(self._chip, len(found), name, 1024, ctypes.byref(bits), ctypes.byref(entries)):
            found.append((name.value.decode(), bits.value, entries.value))
        return found

    def save(self) -> int:
        """Remember chip, memory and clock as they are; the number for `restore`. SimulationError without upsets."""
        number = self._c.gemel_save(self._chip)
        if number == ctypes.c_size_t(-1).value:
            raise SimulationError("only a build with upsets can save its state")
        return number

    def restore(self, number: int) -> None:
        """Everything as it was when `save` gave this number; ValueError when it never did."""
        if self._c.gemel_restore(self._chip, number):
            raise ValueError(f"no state was saved under number {number}")

    def upset(self, state: int, entry: int, bit: int) -> None:
        """Turn a stored bit over; ValueError when there is none."""
        if self._c.gemel_upset(self._chip, state, entry, bit):
            raise ValueError(f"no bit {bit} in entry {entry} of state {state}; a build with upsets lists its states")

    def flip_read(self, port: int, bit: int) -> None:
        """Turn a bit of the next beat of read data at a memory port over; of DRAM, of the next access that is read,
        whose check bits follow its data."""
        if self._c.gemel_flip_read(self._chip, port, bit):
            raise ValueError(f"there is no bus at memory port {port}")

    def waves(self, path: str | Path, first: int, last: int) -> None:
        """Write cycles `first` .. `last` - 1 to a VCD file; SimulationError in a library built without waves."""
        if self._c.gemel_waves(self._chip, str(path).encode(), first, last):
            raise self._error()

    def close(self) -> None:
        """Free the chip; its memory view ends with it."""
        if self._chip is not None:
            self.memory = np.empty(0, np.uint8)
            self._c.gemel_free(self._chip)
            self._chip = None

    def _error(self) -> SimulationError:
        return SimulationError(self._c.gemel_error(self._chip).decode())
