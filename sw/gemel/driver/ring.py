"""The command ring: packets in device memory, the doorbell, and the timeline word that counts finished launches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gemel.driver.registers import Page
from gemel.sim.backend import Backend
from gemel_golden.packets import MAX_ARGUMENTS, PACKET_BYTES, PacketType, encode_packet
from gemel_golden.registers import RING

PACKETS = 64
PACKETS_PER_LAUNCH = 2
LAUNCHES = PACKETS // PACKETS_PER_LAUNCH
"""Launches that the ring holds."""
ARGUMENT_BYTES = 256
RESERVED = PACKETS * PACKET_BYTES + LAUNCHES * ARGUMENT_BYTES + 64
"""Bytes of device memory that a ring takes: packets, argument blocks, the timeline."""


class Ring:
    """One ring at device address `base`, with an interrupt per finished launch.

    Launch n (1, 2, ...) is a LAUNCH packet and a SIGNAL that writes n to the timeline word, in order.
    """

    def __init__(self, backend: Backend, base: int):
        self._backend = backend
        self._base = base
        self._arguments = base + PACKETS * PACKET_BYTES
        self._timeline = self._arguments + LAUNCHES * ARGUMENT_BYTES
        self._written = 0
        self.submitted = 0
        """Launches given to the chip so far."""
        self.page = Page(backend, RING)
        backend.memory[base : base + RESERVED] = 0
        self.page.write("base_lo", base & 0xFFFF_FFFF)
        self.page.write("base_hi", base >> 32)
        self.page.write("size", PACKETS)
        self.page.write("control", 1)

    @property
    def done(self) -> int:
        """Launches finished, faulty ones included."""
        return int(self._backend.memory[self._timeline : self._timeline + 8].view("<u8")[0])

    def submit(self, program: int, length: int, arguments: Sequence[int]) -> int:
        """Queue the program of `length` instructions at address `program`; the launch's number.

        Raises ValueError for more arguments than registers; the caller keeps at most `LAUNCHES` under way.
        """
        if len(arguments) > MAX_ARGUMENTS:
            raise ValueError(f"{len(arguments)} arguments are more than the {MAX_ARGUMENTS} registers they go to")
        block = self._arguments + self.submitted % LAUNCHES * ARGUMENT_BYTES
        words = np.array([argument % (1 << 64) for argument in arguments], "<u8")
        self._backend.memory[block : block + words.nbytes] = words.view(np.uint8)
        self._put(
            encode_packet(
                PacketType.LAUNCH, program=program, length=length, arguments=len(arguments), argument_block=block
            )
        )
        self.submitted += 1
        self._put(
            encode_packet(PacketType.SIGNAL, interrupt=1, timestamp=1, address=self._timeline, value=self.submitted)
        )
        self.page.write("write", self._written & 0xFFFF_FFFF)
        return self.submitted

    def _put(self, packet: bytes) -> None:
        place = self._base + self._written % PACKETS * PACKET_BYTES
        self._backend.memory[place : place + PACKET_BYTES] = np.frombuffer(packet, np.uint8)
        self._written += 1
