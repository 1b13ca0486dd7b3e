"""A command ring: packets in device memory, the doorbell, and the timeline word that counts finished launches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gemel.driver.registers import Page
from gemel.sim.backend import Backend
from gemel_golden.packets import MAX_ARGUMENTS, PACKET_BYTES, PacketType, encode_packet
from gemel_golden.registers import RING
from gemel_golden.windows import PAGE

if TYPE_CHECKING:
    from gemel.driver.launch import Launch

PACKETS = 64
PACKETS_PER_LAUNCH = 2
LAUNCHES = PACKETS // PACKETS_PER_LAUNCH
"""Launches that the ring holds."""
ARGUMENT_BYTES = 256
TIMELINE_BYTES = 64


def reserved(cores: int) -> int:
    """Bytes of device memory that a ring takes: packets, argument blocks for all cores, the timeline, in pages of its
    own."""
    used = PACKETS * PACKET_BYTES + LAUNCHES * cores * ARGUMENT_BYTES + TIMELINE_BYTES
    return -(-used // PAGE) * PAGE


class Ring:
    """Ring `number` of a chip with `cores` cores, at device address `base`, with an interrupt per SIGNAL.

    Launch n (1, 2, ...) is a LAUNCH or COPY packet and a SIGNAL that writes n to the timeline word, in order. Callers
    see to it that there is `room` for what they put.
    """

    def __init__(self, backend: Backend, number: int, base: int, cores: int):
        self._backend = backend
        self._memory = backend.memory
        """For what the host writes and the chip reads."""
        self.base = self._base = base
        self.size = reserved(cores)
        self._block_bytes = cores * ARGUMENT_BYTES
        self._arguments = base + PACKETS * PACKET_BYTES
        self.timeline = self._arguments + LAUNCHES * self._block_bytes
        """Address of the word that counts finished launches; the clock of the last one's end is in the word behind."""
        self._written = self._read = 0
        self.number = number
        self.submitted = 0
        """Launches given to the chip so far."""
        self.under_way: deque[Launch] = deque()
        """Launches that the host hasn't seen the end of, in their order."""
        self._kept: deque[tuple[int, object]] = deque()
        self.page = Page(backend, RING, number)
        self._memory[base : base + reserved(cores)] = 0
        self.page.write("base_lo", base & 0xFFFF_FFFF)
        self.page.write("base_hi", base >> 32)
        self.page.write("size", PACKETS)
        self.page.write("control", 1)

    @property
    def done(self) -> int:
        """Launches finished, faulty ones included."""
        return int(self._backend.memory[self.timeline : self.timeline + 8].view("<u8")[0])

    def room(self, packets: int) -> bool:
        """Whether so many packets more have a place in the ring."""
        if self._written + packets - self._read > PACKETS:
            self._look()
        return self._written + packets - self._read <= PACKETS

    def launch(self, program: int, length: int, cores: int, arguments: Sequence[Sequence[int]]) -> int:
        """Queue the program of `length` instructions at address `program` on a mask of cores; the launch's number.

        `arguments`: one list for all cores, or one for each. Raises ValueError for more arguments than registers, or
        when the lists differ in length.
        """
        count = len(arguments[0])
        if count > MAX_ARGUMENTS:
            raise ValueError(f"{count} arguments are more than the {MAX_ARGUMENTS} registers they go to")
        if any(len(own) != count for own in arguments):
            raise ValueError(f"cores need equally many arguments, not {', '.join(str(len(own)) for own in arguments)}")
        block = self._arguments + self.submitted % LAUNCHES * self._block_bytes
        for rank, own in enumerate(arguments):
            words = np.array([argument % (1 << 64) for argument in own], "<u8")
            start = block + rank * ARGUMENT_BYTES
            self._memory[start : start + words.nbytes] = words.view(np.uint8)
        self._put(
            PacketType.LAUNCH,
            program=program,
            length=length,
            cores=cores,
            arguments=count,
            argument_block=block,
            argument_stride=ARGUMENT_BYTES if len(arguments) > 1 else 0,
        )
        return self._submit()

    def copy(self, source: int, target: int, nbytes: int) -> int:
        """Queue a copy of `nbytes` bytes by the copy engine; its number, counted like launches."""
        self._put(PacketType.COPY, source=source, target=target, bytes=nbytes)
        return self._submit()

    def _submit(self) -> int:
        self.submitted += 1
        self.signal(self.timeline, self.submitted)
        return self.submitted

    def signal(self, address: int, value: int) -> None:
        """Queue the writing of `value` to `address`, of the clock to the word behind it, and an interrupt."""
        self._put(PacketType.SIGNAL, interrupt=1, timestamp=1, address=address, value=value)
        self._ring()

    def wait(self, address: int, value: int) -> None:
        """Hold what follows in the ring until the word at `address` is at least `value`."""
        self._put(PacketType.WAIT, address=address, value=value)
        self._ring()

    def keep(self, thing: object) -> None:
        """Hold `thing` until the packet put last has been read."""
        if len(self._kept) == PACKETS:
            self._look()
        self._kept.append((self._written, thing))

    def _look(self) -> None:
        self._read += (self.page.read("read") - self._read) & 0xFFFF_FFFF
        while self._kept and self._kept[0][0] <= self._read:
            self._kept.popleft()

    def _put(self, kind: PacketType, **fields: int) -> None:
        place = self._base + self._written % PACKETS * PACKET_BYTES
        self._memory[place : place + PACKET_BYTES] = np.frombuffer(encode_packet(kind, **fields), np.uint8)
        self._written += 1

    def _ring(self) -> None:
        self.page.write("write", self._written & 0xFFFF_FFFF)
