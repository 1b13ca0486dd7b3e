"""Random graphs of copies and sums in several streams, joined by events, and what each must leave in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.isa import Opcode, encode

__all__ = ["run_graph", "spin_program", "step_program"]

BYTES = 256
PLACES = 8
"""Pieces of memory of 256 bytes that the work reads and writes."""


def step_program(offset: int) -> bytes:
    """Moves 256 bytes from register 1 to register 2, rotated by `offset` bytes, so that the order of steps shows."""
    code = b""
    for target, source, size in ((0, offset, BYTES - offset), (BYTES - offset, 0, offset)):
        if size:
            code += encode(
                Opcode.LOAD, mem=source, mem_reg=1, bytes=size, valid_bytes=size, valid1=1, signal0=0, signal0_count=1
            )
            sync = {"wait0": 0, "wait0_count": 1, "signal0": 1, "signal0_count": 1}
            code += encode(Opcode.STORE, mem=target, mem_reg=2, bytes=size, **sync)
            code += encode(Opcode.NOP, wait0=1, wait0_count=1)
    return code + encode(Opcode.HALT)


def spin_program(turns: int) -> bytes:
    """Goes round a loop `turns` times, a few cycles each."""
    loop = encode(Opcode.LOOP, count=turns) + 2 * encode(Opcode.NOP) + encode(Opcode.END)
    return loop + encode(Opcode.HALT)


def run_graph(device: Any, rng: np.random.Generator, streams: int, steps: int) -> None:
    """Queue `steps` random steps in `streams` streams, with waits wherever two of them share a place of memory, and
    compare with the same steps one after the other. `device` is a `gemel.Device`.
    Raises AssertionError where a byte differs.
    """
    data = rng.integers(0, 256, (PLACES, BYTES), np.uint8)
    buffer = device.upload(data)
    made = [device.stream(priority=int(rng.integers(8))) for _ in range(streams)]
    last: list[list[tuple[int, bool, Any]]] = [[] for _ in range(PLACES)]
    """Of each place: stream, whether it wrote, and an event after it, of the steps since and with its last write."""
    for _ in range(steps):
        number = int(rng.integers(streams))
        stream, (source, target) = made[number], (int(x) for x in rng.choice(PLACES, 2, replace=False))
        for place, writes in ((source, False), (target, True)):
            for other, wrote, event in last[place]:
                if other != number and (writes or wrote):
                    stream.wait(event)
        offset = int(rng.integers(BYTES))
        addresses = [buffer.address + BYTES * place for place in (source, target)]
        if rng.random() < 0.3:
            stream.copy(addresses[1], addresses[0], BYTES)
            offset = 0
        else:
            stream.launch(step_program(offset), addresses)
        event = stream.record()
        last[source].append((number, False, event))
        last[target] = [(number, True, event)]
        data[target] = np.roll(data[source], -offset)
    device.synchronize()
    found: NDArray[np.uint8] = buffer.read(np.uint8, (PLACES, BYTES))
    np.testing.assert_array_equal(found, data)
