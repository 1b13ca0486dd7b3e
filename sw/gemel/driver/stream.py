"""Streams and events: launches in order, beside those of other streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gemel.driver.buffer import Buffer
from gemel.driver.launch import TIMEOUT, Launch
from gemel.driver.program import Program
from gemel.driver.protection import Protection

if TYPE_CHECKING:
    from gemel.driver.device import Device

Arguments = Sequence[int | Buffer]


class Event:
    """A point in a stream: made by `Stream.record`, waited for by streams and by the host."""

    def __init__(self, stream: Stream):
        self.stream = stream
        self._word = stream.alloc(16)
        self._word.write(np.zeros(2, "<u8"))

    @property
    def address(self) -> int:
        """Where the device writes a 1 and the clock."""
        return self._word.address

    @property
    def done(self) -> bool:
        """Whether the stream has come to this point, as far as the chip has run."""
        return bool(self._word.read("<u8", 1)[0])

    def synchronize(self, timeout_cycles: int = TIMEOUT) -> None:
        """Run the chip until the stream has come to this point; DeviceTimeout when that takes too long."""
        self.stream.device.run_until(self, timeout_cycles)

    @property
    def cycle(self) -> int:
        """The chip's clock at this point, once it is `done`; 0 on golden, which has none. Raises ValueError before."""
        if not self.done:
            raise ValueError("the event isn't done: synchronize() with it first")
        return int(self._word.read("<u8", 1, offset=8)[0])

    def elapsed(self, later: Event) -> int:
        """Cycles from this event to `later`; both must be `done`."""
        return later.cycle - self.cycle


class Stream:
    """Launches that run one after the other, beside those of other streams; made by `Device.stream`.

    `ring`: the number of its command ring; `cores`: where its launches run unless they say otherwise.
    """

    def __init__(self, device: Device, ring: int, cores: tuple[int, ...], protection: Protection | None = None):
        self.device, self.ring, self.cores = device, ring, cores
        self.protection = protection
        self._launches: list[Launch] = []
        self._last: Event | None = None
        """The event recorded last."""
        self._outer: list[Stream] = []

    def __enter__(self) -> Stream:
        """Make this the device's current stream, until the end of the ``with``."""
        self._outer.append(self.device.current_stream)
        self.device.current_stream = self
        return self

    def __exit__(self, *error: object) -> None:
        self.device.current_stream = self._outer.pop()

    def __repr__(self) -> str:
        return f"Stream(ring {self.ring}, cores {', '.join(map(str, self.cores))})"

    def alloc(self, nbytes: int, align: int = 64) -> Buffer:
        """Memory for what the stream itself needs: programs and events."""
        if self.protection is None:
            return self.device.alloc(nbytes, align)
        return self.protection.alloc(self.device, nbytes, align)

    def launch(
        self,
        program: Program | bytes,
        arguments: Arguments | Sequence[Arguments] = (),
        *,
        cores: Sequence[int] | None = None,
        name: str = "program",
    ) -> Launch:
        """Queue `program`; its arguments fill address registers 1, 2, ... (a buffer stands for its address).
        `name`: what profiles call it.

        It begins once all its cores are free. On several cores, `arguments` may be a list for each of them, in the
        order of the cores' numbers. Returns at once: the chip runs while somebody waits. Raises ValueError for an empty
        program, cores that don't exist, or arguments that don't fit.
        """
        return self._keep(
            self.device.submit(self, program, arguments, self.cores if cores is None else tuple(cores), name)
        )

    def _keep(self, launch: Launch) -> Launch:
        self._launches = [old for old in self._launches if not old.done or (old.fault and not old.reported)]
        self._launches.append(launch)
        return launch

    def copy(self, target: int | Buffer, source: int | Buffer, nbytes: int | None = None) -> Launch:
        """Queue a copy of `nbytes` bytes (the smaller buffer's size by default) from memory to memory.

        The chip's copy engine does it, beside whatever cores do; copies of several streams take turns. The ranges may
        have any alignment, and may not overlap; what is left of the target by a fault is undefined. Returns at once, as
        `launch` does. Raises ValueError for ranges that overlap or exceed a buffer.
        """
        if nbytes is None:
            sizes = [end.size for end in (target, source) if isinstance(end, Buffer)]
            if not sizes:
                raise ValueError("a copy between addresses needs its number of bytes")
            nbytes = min(sizes)
        for what, end in (("target", target), ("source", source)):
            if isinstance(end, Buffer) and nbytes > end.size:
                raise ValueError(f"{nbytes} bytes are more than the {what}'s {end.size}")
        if nbytes < 0:
            raise ValueError(f"can't copy {nbytes} bytes")
        low, high = sorted((int(target), int(source)))
        if low + nbytes > high:
            raise ValueError(f"the ranges at {low:#x} and {high:#x} overlap in a copy of {nbytes} bytes")
        return self._keep(self.device.submit_copy(self, target, source, nbytes))

    def record(self) -> Event:
        """An event that is done once all that the stream has been given so far is."""
        self._last = event = Event(self)
        self.device.signal(self, event)
        return event

    def wait(self, event: Event) -> None:
        """Hold what follows in this stream, not the host, until `event` is done."""
        self.device.hold(self, event)

    def forget(self) -> None:
        """There is nothing to wait for any more."""
        self._launches, self._last = [], None

    def close(self, timeout_cycles: int = TIMEOUT) -> None:
        """Wait for what it has been given, well or not, and give its ring back; a stream that nobody holds does so too,
        but a protected one only once Python has collected it."""
        for launch in self._launches:
            self.device.run_until(launch, timeout_cycles)
        self.forget()
        self.device.release(self)

    def synchronize(self, timeout_cycles: int = TIMEOUT) -> None:
        """Run the chip until all launches of this stream have ended and all its events are done.

        Raises the DeviceFault of the first launch that was stopped and hasn't been reported, DeviceTimeout when one
        takes more than `timeout_cycles`.
        """
        for launch in self._launches:
            self.device.run_until(launch, timeout_cycles)
        if self._last is not None:
            self.device.run_until(self._last, timeout_cycles)
        for launch in self._launches:
            if not launch.reported:
                launch.raise_fault()
        self.forget()
