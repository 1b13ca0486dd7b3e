"""A chip in use: memory, streams of launches and what came of them, the same on simulated hardware and on golden."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver import faults, recording
from gemel.driver.buffer import Buffer
from gemel.driver.counters import Channels, Counters, read_channels, read_copies, read_counters
from gemel.driver.launch import TIMEOUT, Launch, Result
from gemel.driver.memory import Allocator
from gemel.driver.program import Program
from gemel.driver.protection import Protection, apply
from gemel.driver.registers import Page
from gemel.driver.ring import PACKETS_PER_LAUNCH, Ring, reserved
from gemel.driver.stream import Arguments, Event, Stream
from gemel.sim import backend as backends
from gemel_golden.config import ChipConfig, config
from gemel_golden.isa import INSTRUCTION_BYTES, Unit
from gemel_golden.registers import BLOCKS, CHANNEL, CHIP, COPY_COUNTS, CORE
from gemel_golden.windows import Window

RING_ADDRESS = 4096
"""The first page stays unused: address 0 belongs to no buffer."""
FAULTS = 16
"""Bit of irq_status at which the rings' faults begin."""
INTERRUPTS = 0xFFFF_FFFF
"""Bits of irq_status that interrupt."""
PRIORITIES = 8
GLANCE = 1000
"""Cycles between two looks at a launch that is to be cancelled and hasn't begun."""


@dataclass(frozen=True)
class TraceEvent:
    """One instruction in one unit of one core, from its first cycle to the cycle after its last; `queued`: the cycle
    in which it went into the unit's queue."""

    unit: Unit
    pc: int
    start: int
    stop: int
    core: int = 0
    queued: int = 0


class Device:
    """One chip. Made by `gemel.open`; a context manager.

    Launches of one stream run one after the other, those of different streams beside each other where cores are free.
    `launch` and `run` use the current stream.
    """

    def __init__(self, chip: ChipConfig, backend: backends.Backend):
        self.config = chip
        self.backend = backend
        self.last: Result | None = None
        """Result of the launch that ended last."""
        self._allocator = Allocator(RING_ADDRESS + chip.rings * reserved(chip.cores), len(backend.memory))
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._priorities: weakref.WeakKeyDictionary[Stream, int] = weakref.WeakKeyDictionary()
        self._record = recording.begin(chip, backend)
        self._events: list[TraceEvent] = []
        self._start()
        self.default_stream = self._stream(0, 0, (0,))
        """Ring 0, core 0. Other streams don't wait for it."""
        self.current_stream = self.default_stream
        """The stream of `launch` and `run`, and so of kernels and products; set by ``with stream``."""

    def _start(self) -> None:
        self._chip = Page(self.backend, CHIP)
        self._cores = [Page(self.backend, CORE, core) for core in range(self.config.cores)]
        self._channels = [Page(self.backend, CHANNEL, channel) for channel in range(self.config.drams)]
        self._memory_total = read_channels(self._channels)
        self._memory_last: Channels = [dict.fromkeys(counts, 0) for counts in self._memory_total]
        self._copies_total = self._copies_last = dict.fromkeys(COPY_COUNTS, 0)
        self._chip.write("irq_enable", INTERRUPTS)
        size = reserved(self.config.cores)
        self._rings = [
            Ring(self.backend, ring, RING_ADDRESS + ring * size, self.config.cores) for ring in range(self.config.rings)
        ]
        self._faults: dict[int, faults.DeviceFault] = {}
        for ring in range(self.config.rings):
            self._prioritise(ring)
        for stream in self._streams:
            if stream.protection is not None:
                apply(self._rings[stream.ring], stream.protection)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Device({self.config.name}, {type(self.backend).__name__})"

    @property
    def memory(self) -> NDArray[np.uint8]:
        """All of device memory, byte i is address i, as the chip has written it by now; take it anew after it ran."""
        return self.backend.memory

    @property
    def free_bytes(self) -> int:
        """Device memory not allocated."""
        return self._allocator.free_bytes

    @property
    def bandwidth(self) -> float:
        """Bytes a cycle that all memory channels move: each way, or, of DRAM, in all; 0 without a clock."""
        return self.backend.bandwidth * self.config.channels

    def alloc(self, nbytes: int, align: int = 64) -> Buffer:
        """`nbytes` of device memory at a multiple of `align`. Raises OutOfDeviceMemory with the numbers."""
        return Buffer(self.backend, self._allocator, nbytes, align)

    def upload(self, data: Any, align: int = 64) -> Buffer:
        """A new buffer that holds an array's or bytes' content."""
        size = len(data) if isinstance(data, bytes | bytearray) else data.nbytes
        buffer = self.alloc(size, align)
        buffer.write(data)
        return buffer

    @property
    def library_cores(self) -> tuple[int, ...]:
        """The cores that a product may be shared by: all on the default stream, or those of the current one."""
        own = self.current_stream is not self.default_stream
        return self.current_stream.cores if own else tuple(range(self.config.cores))

    def stream(
        self,
        *,
        priority: int = 0,
        cores: Sequence[int] | None = None,
        windows: Sequence[Window] = (),
        watchdog: int = 0,
    ) -> Stream:
        """A new stream.

        Parameters: `priority`, 0..7: of launches that want the same core, those of the highest priority go first, and
        among equals those of each ring in turn; a launch that runs isn't interrupted. `cores`: where its launches run;
        by default streams take the cores in turn. With more streams than the chip has rings some share a ring: their
        launches wait for each other, and the ring has the highest of their priorities. `windows`: pages of memory
        (`gemel.Window`), two at most, that the stream's launches may access and no others, beside their programs;
        `watchdog`: cycles after which a launch is stopped (0: never). A stream with either has a ring of its own.
        Raises ValueError beyond the limits.
        """
        if not 0 <= priority < PRIORITIES:
            raise ValueError(f"a priority lies in 0..{PRIORITIES - 1}, not {priority}")
        streams = list(self._streams)
        closed = {stream.ring for stream in streams if stream.protection is not None}
        protection = Protection(self, windows, watchdog) if windows or watchdog else None
        if protection is not None:
            closed |= {stream.ring for stream in streams}
        if len(closed) == self.config.rings:
            raise ValueError(f"none of the chip's {self.config.rings} rings is free for such a stream")
        chosen = (len(streams) % self.config.cores,) if cores is None else self._members(cores)
        ring = min(
            (ring for ring in range(self.config.rings) if ring not in closed),
            key=lambda ring: (
                sum(stream.ring == ring for stream in streams),
                any(stream.ring == ring and self._priorities[stream] != priority for stream in streams),
            ),
        )
        return self._stream(ring, priority, chosen, protection)

    def _stream(self, ring: int, priority: int, cores: tuple[int, ...], protection: Protection | None = None) -> Stream:
        stream = Stream(self, ring, cores, protection)
        apply(self._rings[ring], protection)
        self._streams.add(stream)
        self._priorities[stream] = priority
        self._prioritise(ring)
        return stream

    def release(self, stream: Stream) -> None:
        """What `Stream.close` does."""
        self._streams.discard(stream)
        if stream.protection is not None:
            apply(self._rings[stream.ring], None)
        self._prioritise(stream.ring)

    def _prioritise(self, ring: int) -> None:
        highest = max((self._priorities[stream] for stream in self._streams if stream.ring == ring), default=0)
        self._rings[ring].page.write("priority", highest)

    def _members(self, cores: Sequence[int]) -> tuple[int, ...]:
        chosen = tuple(sorted(set(cores)))
        if not chosen or len(chosen) != len(cores) or chosen[0] < 0 or chosen[-1] >= self.config.cores:
            raise ValueError(f"cores are different numbers in 0..{self.config.cores - 1}, not {list(cores)}")
        return chosen

    def launch(
        self,
        program: Program | bytes,
        arguments: Arguments | Sequence[Arguments] = (),
        *,
        cores: Sequence[int] | None = None,
        name: str = "program",
    ) -> Launch:
        """`Stream.launch` of the current stream."""
        return self.current_stream.launch(program, arguments, cores=cores, name=name)

    def run(
        self,
        program: Program | bytes,
        arguments: Arguments | Sequence[Arguments] = (),
        timeout_cycles: int = TIMEOUT,
        *,
        cores: Sequence[int] | None = None,
        name: str = "program",
    ) -> Result:
        """Launch and wait."""
        return self.launch(program, arguments, cores=cores, name=name).wait(timeout_cycles)

    def submit(
        self,
        stream: Stream,
        program: Program | bytes,
        arguments: Arguments | Sequence[Arguments],
        cores: Sequence[int],
        name: str,
    ) -> Launch:
        """What `Stream.launch` does."""
        program = Program(program if isinstance(program, bytes) else program.bytes)
        if not len(program):
            raise ValueError("a program needs at least one instruction")
        members = self._members(cores)
        lists = _lists(arguments, len(members))
        ring = self._rings[stream.ring]
        self._make_room(ring, PACKETS_PER_LAUNCH)
        code = stream.alloc(len(program.bytes), align=INSTRUCTION_BYTES)
        code.write(program.bytes)
        begun = (self.backend.cycles, time.monotonic())
        mask = sum(1 << core for core in members)
        number = ring.launch(code.address, len(program), mask, [[int(value) for value in own] for own in lists])
        launch = Launch(stream, number, name, members, program, (code, *lists), begun)
        for other in (other for each in self._rings for other in each.under_way):
            if set(other.cores) & set(members):
                other.overwritten = True
                launch.overwritten |= other.stream.ring != stream.ring
        ring.under_way.append(launch)
        return launch

    def submit_copy(self, stream: Stream, target: int | Buffer, source: int | Buffer, nbytes: int) -> Launch:
        """What `Stream.copy` does."""
        ring = self._rings[stream.ring]
        self._make_room(ring, PACKETS_PER_LAUNCH)
        begun = (self.backend.cycles, time.monotonic())
        number = ring.copy(int(source), int(target), nbytes)
        launch = Launch(stream, number, "copy", (), Program(), (source, target), begun, copied=nbytes)
        ring.under_way.append(launch)
        return launch

    def signal(self, stream: Stream, event: Event) -> None:
        """What `Stream.record` does."""
        ring = self._rings[stream.ring]
        self._make_room(ring, 1)
        ring.signal(event.address, 1)
        ring.keep(event)

    def hold(self, stream: Stream, event: Event) -> None:
        """What `Stream.wait` does."""
        if event.stream.device is not self:
            raise ValueError("a stream can't wait for an event of another device")
        ring = self._rings[stream.ring]
        if event.done or event.stream.ring == stream.ring:
            return
        self._make_room(ring, 1)
        ring.wait(event.address, 1)
        ring.keep(event)

    def _make_room(self, ring: Ring, packets: int) -> None:
        while not ring.room(packets):
            if not self.backend.run(TIMEOUT):
                raise faults.DeviceTimeout(f"ring {ring.number} is full and stands: {self._stall(ring)}")
            self._interrupt()

    def run_until(self, awaited: Launch | Event, timeout_cycles: int) -> None:
        """Run the chip until `awaited` is done; DeviceTimeout when that takes more than `timeout_cycles`."""
        end = self.backend.cycles + timeout_cycles
        while not awaited.done:
            if not self.backend.run(max(0, end - self.backend.cycles)):
                what = f"launch {awaited.number}" if isinstance(awaited, Launch) else "the event"
                verb = "ended" if isinstance(awaited, Launch) else "come"
                stall = self._stall(self._rings[awaited.stream.ring])
                raise faults.DeviceTimeout(f"{what} hasn't {verb} after {timeout_cycles:,} cycles: {stall}")
            self._interrupt()

    def _stall(self, ring: Ring) -> str:
        first = ring.under_way[0] if ring.under_way else None
        cores = [self._cores[core] for core in first.cores] if first else []
        return faults.describe_stall(ring.page, cores, first.program if first else None)

    def synchronize(self, timeout_cycles: int = TIMEOUT) -> None:
        """`Stream.synchronize` for every stream."""
        for stream in sorted(self._streams, key=lambda stream: stream.ring):
            stream.synchronize(timeout_cycles)

    def cancel(self, launch: Launch, timeout_cycles: int = TIMEOUT) -> None:
        """What `Launch.cancel` does."""
        ring = self._rings[launch.stream.ring]
        while not launch.done and ring.under_way[0] is not launch:
            self.run_until(ring.under_way[0], timeout_cycles)
        for _ in range(-(-timeout_cycles // GLANCE)):
            if launch.done:
                return
            if ring.page.read("status") >> 1 & 1:
                self._chip.write("core_reset", sum(1 << core for core in launch.cores))
                break
            self.backend.run(GLANCE)
            self._interrupt()
        self.run_until(launch, timeout_cycles)

    def _interrupt(self) -> None:
        now = self.backend.cycles
        causes = self._chip.read("irq_status")
        self._chip.write("irq_status", causes)
        noted: Channels | None = None  # what memory did is the first launch's whose end is seen
        for ring in self._rings:
            while ring.under_way and ring.under_way[0].number <= ring.done:
                launch = ring.under_way.popleft()
                launch.fault = self._faults.pop(ring.number, None)
                if launch.fault is None:
                    launch.result = self.last = launch.finish(now, [self._cores[core] for core in launch.cores])
                launch.keeps = ()
                noted = self._count_memory() if noted is None else ()
                if not launch.cores:
                    self._count_copies()
                self._note(launch, now, noted)
            if causes >> FAULTS + ring.number & 1:  # the ring stands: what has ended did so before it
                program = ring.under_way[0].program if ring.under_way else None
                core = self._cores[ring.page.read("fault_core")]
                self._faults[ring.number] = faults.read_fault(ring.page, core, program)
                ring.page.write("fault_clear", 1)

    def _count_memory(self) -> Channels:
        """What the channels of DRAM did since this was called last."""
        before, self._memory_total = self._memory_total, read_channels(self._channels)
        self._memory_last = [
            {name: (count - old[name]) % (1 << 32) for name, count in new.items()}
            for old, new in zip(before, self._memory_total, strict=True)
        ]
        return self._memory_last

    def _count_copies(self) -> None:
        """Note what the copy engine did since this was called last."""
        before, self._copies_total = self._copies_total, read_copies(self._chip)
        self._copies_last = {name: count - before[name] for name, count in self._copies_total.items()}

    def _note(self, launch: Launch, now: int, memory: Channels) -> None:
        """Tell the recording, if there is one, of a launch that has ended."""
        if self._record is None:
            return
        counted = () if launch.overwritten else launch.cores
        self._record.note(
            name=launch.name,
            program=launch.program,
            begun=launch.begun[0],
            ended=now,
            events=self._collect(),
            counters={core: self.counters(core) for core in counted},
            memory=memory,
            samples=self.backend.samples(),
            ring=launch.stream.ring,
            cores=launch.cores,
            copied=launch.copied,
            copies=None if launch.cores else self._copies_last,
        )

    def events(self) -> list[TraceEvent]:
        """Instructions that ended since the last call, in the order of their ends; empty on golden."""
        self._collect()
        taken, self._events = self._events, []
        return taken

    def _collect(self) -> list[TraceEvent]:
        """Take over the back end's events; those that are new."""
        new = [
            TraceEvent(Unit(unit % 16), pc, start, stop, core=unit // 16, queued=queued)
            for unit, pc, queued, start, stop in self.backend.events()
        ]
        self._events += [event for event in new if event.unit != Unit.COMMAND]
        return new

    def counters(self, core: int = 0, *, since_reset: bool = False) -> Counters:
        """What a core's units did in its last launch, or in all since the chip's reset; zeros on golden.

        DRAM and the copy engine serve all: DRAM's counts are those between the ends of the last two launches that the
        host saw, the copy engine's between those of the last two copies.
        """
        memory = read_channels(self._channels) if since_reset else self._memory_last
        copies = read_copies(self._chip) if since_reset else self._copies_last
        return read_counters(self._cores[core], memory, copies, since_reset=since_reset)

    def read_register(self, block: str, name: str, index: int = 0) -> int:
        """A 32-bit register of the chip, of ring, core or memory channel `index`, by `gemel_golden.registers`."""
        if block not in BLOCKS:
            raise ValueError(f"no registers of a {block!r}; there are {', '.join(BLOCKS)}")
        return Page(self.backend, BLOCKS[block], index).read(name)

    def semaphore(self, index: int, core: int = 0) -> int:
        """The count of a core's semaphore now."""
        return faults.semaphore(self._cores[core], index)

    def reset(self) -> None:
        """Reset the chip after a launch that will never end: launches under way are lost, memory stays."""
        self.backend.reset()
        for stream in self._streams:
            stream.forget()
        self._start()

    def close(self) -> None:
        """Release the chip and its memory."""
        self.backend.close()


def open(
    chip: str | ChipConfig = "inference",
    backend: str = "rtl",
    *,
    memory_bytes: int = 256 << 20,
    overrides: Mapping[str, int | str] | None = None,
    **options: Any,
) -> Device:
    """A chip to work with.

    Parameters: `chip`, a named configuration, with single sizes changed by `overrides`; `backend`, "rtl" (the hardware,
    simulated by Verilator, built at the first use) or "golden" (the model); `memory_bytes`, a multiple of 4096. For rtl
    also `latency`, `bandwidth`, `stalls`, `reorder`, `seed` (see `gemel.sim.library.MemoryOptions`), `profile` of the
    build, and `waves` = (path, first cycle, cycle after the last) for a VCD file. Raises ValueError naming what
    doesn't exist.
    """
    sizes = config(chip).override(**overrides or {})
    if memory_bytes % 4096 or memory_bytes < RING_ADDRESS + sizes.rings * reserved(sizes.cores) + 4096:
        raise ValueError(f"device memory is a multiple of 4096 bytes and holds the rings, not {memory_bytes}")
    return Device(sizes, backends.create(backend, sizes, memory_bytes, **options))


def _lists(arguments: Arguments | Sequence[Arguments], cores: int) -> list[Arguments]:
    """One list of arguments for all cores, or one for each."""
    single: list[int | Buffer] = []
    own: list[Arguments] = []
    for each in arguments:
        if isinstance(each, Sequence):
            own.append(each)
        else:
            single.append(each)
    if not own:
        return [single]
    if single or len(own) != cores:
        raise ValueError(f"{len(arguments)} lists of arguments don't fit {cores} core{'s' if cores > 1 else ''}")
    return own
