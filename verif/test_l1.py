"""The L1 scratchpad: reads see earlier writes, banks do a read and a write a cycle, nobody waits long."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import CHUNK, config
from gemel_golden.isa import Layout
from gemel_golden.l1 import chunk_addresses, read_rows, write_rows
from gemel_rtl.l1.l1 import L1, READ_LATENCY, READ_PORTS, WRITE_PORTS
from gemel_verif.runner import simulate

NANO = config("nano")
PORTS = READ_PORTS + WRITE_PORTS


def requests_of(rng: np.random.Generator, port: str, count: int, words: int) -> list[dict[str, int]]:
    """Random requests to words below `words`; L1 begins with zeros in simulation."""
    requests = []
    for _ in range(count):
        request = {f"addr{h}": int(rng.integers(words)) for h in range(2)}
        which = int(rng.integers(1, 4))
        request |= {"en0": which & 1, "en1": which >> 1}
        if port in WRITE_PORTS:
            request["data"] = int.from_bytes(rng.bytes(2 * CHUNK), "little")
            request["mask"] = (1 << 64) - 1 if rng.random() < 0.5 else int.from_bytes(rng.bytes(8), "little")
        requests.append(request)
    return requests


def needs_a_read(mask: int) -> bool:
    """Whether a write of these of 32 bytes writes a part of eight bytes that have check bits in common."""
    return any(mask >> byte & 0xFF not in (0, 0xFF) for byte in range(0, CHUNK, 8))


def simulate_l1(
    requests: dict[str, list[dict[str, int]]],
    seed: int = 0,
    pause: float = 0.0,
    *,
    ecc: bool = False,
    flips: Sequence[tuple[int, int, int, int]] = (),
) -> dict[str, Any]:
    """`flips`, made before the requests: half, bank, entry, and the bits of the entry to flip."""
    inputs = {"requests": requests, "seed": seed, "pause": pause, "limit": 20000, "ecc": ecc, "flips": flips}
    return simulate(L1(NANO.override(ecc=ecc)), "gemel_l1_ecc" if ecc else "gemel_l1", "tb_l1", inputs)


def replay(grants: list[tuple[int, str, dict[str, int], int]]) -> list[tuple[int, str, list[bytes | None]]]:
    """What each read must give, from the grants in their order; `None` for a half that isn't enabled."""
    l1 = np.zeros((NANO.l1_words, 2, CHUNK), np.uint8)
    answers = []
    for cycle, port, request, _ in sorted(grants, key=lambda grant: (grant[0], grant[1] in WRITE_PORTS)):
        if port in READ_PORTS:
            halves = [l1[request[f"addr{h}"], h].tobytes() if request[f"en{h}"] else None for h in range(2)]
            answers.append((cycle + READ_LATENCY, port, halves))
            continue
        data = np.frombuffer(request["data"].to_bytes(64, "little"), np.uint8).reshape(2, CHUNK)
        mask = np.unpackbits(np.frombuffer(request["mask"].to_bytes(8, "little"), np.uint8), bitorder="little")
        for h in range(2):
            if request[f"en{h}"]:
                np.copyto(l1[request[f"addr{h}"], h], data[h], where=mask.reshape(2, CHUNK)[h].astype(bool))
    return answers


@pytest.mark.parametrize("ecc", [False, True])
@pytest.mark.parametrize(("words", "pause"), [(16, 0.0), (16, 0.6), (NANO.l1_words, 0.3)])
def test_reads_see_earlier_writes(rng: np.random.Generator, words: int, pause: float, ecc: bool) -> None:
    requests = {port: requests_of(rng, port, 500, words) for port in PORTS}
    out = simulate_l1(requests, int(rng.integers(1 << 32)), pause, ecc=ecc)
    expected = replay(out["grants"])
    got = [
        (cycle, port, [data.to_bytes(64, "little")[CHUNK * h : CHUNK * (h + 1)] for h in range(2)])
        for cycle, port, data in out["answers"]
    ]
    key = itemgetter(0, 1)
    for (cycle, port, halves), (wanted_cycle, wanted_port, wanted) in zip(
        sorted(got, key=key), sorted(expected, key=key), strict=True
    ):
        assert (cycle, port) == (wanted_cycle, wanted_port)
        assert [half for half, want in zip(halves, wanted, strict=True) if want is not None] == [
            want for want in wanted if want is not None
        ]


@pytest.mark.parametrize("ecc", [False, True])
def test_banks_and_waits(rng: np.random.Generator, ecc: bool) -> None:
    """Under full load no bank half does two reads or two writes in a cycle, and no port waits for others twice."""
    requests = {port: requests_of(rng, port, 500, 64) for port in PORTS}
    out = simulate_l1(requests, ecc=ecc)
    used: set[tuple[int, int, int, bool]] = set()
    for cycle, port, request, waited in out["grants"]:
        writes = port in WRITE_PORTS
        assert waited <= len(PORTS if ecc else WRITE_PORTS if writes else READ_PORTS) - 1
        for h in range(2):
            if request[f"en{h}"]:
                access = (cycle, h, request[f"addr{h}"] % NANO.l1_banks, writes)
                assert access not in used
                used.add(access)
                if ecc and writes and needs_a_read(request["mask"] >> CHUNK * h & (1 << CHUNK) - 1):
                    reading = (cycle, h, request[f"addr{h}"] % NANO.l1_banks, False)
                    assert reading not in used
                    used.add(reading)


def test_a_tile_streams_at_full_rate(rng: np.random.Generator) -> None:
    """Rows, and columns of chunks, written and read in the tile layout: one access a cycle, golden's bytes."""
    rows, columns = 32, 6
    values = rng.integers(0, 256, (rows, columns * CHUNK), dtype=np.uint8)
    l1 = np.zeros(NANO.l1_bytes, np.uint8)
    write_rows(l1, Layout.TILE, 5, rows // 2, values)
    chunks = chunk_addresses(Layout.TILE, 5, rows // 2, np.arange(rows)[:, None], np.arange(columns))
    writes, reads, expected = [], [], []
    for r in range(rows):
        for k in range(0, columns, 2):
            pair = {int(c) & 1: (int(c) >> 1, k + i) for i, c in enumerate(chunks[r, k : k + 2])}
            data = b"".join(values[r, CHUNK * pair[h][1] :][:CHUNK].tobytes() for h in range(2))
            bits = int.from_bytes(data, "little")
            enables = {"addr0": pair[0][0], "addr1": pair[1][0], "en0": 1, "en1": 1}
            writes.append(enables | {"data": bits, "mask": (1 << 64) - 1})
    for k in range(columns):
        for r in range(0, rows, 2):
            pair = {int(c) & 1: int(c) >> 1 for c in chunks[r : r + 2, k]}
            reads.append({"addr0": pair[0], "addr1": pair[1], "en0": 1, "en1": 1})
            expected.append(l1.reshape(-1, 2, CHUNK)[[pair[0], pair[1]], [0, 1]].tobytes())
    out = simulate_l1({"load": writes + [writes[0]] * 8, "a": [reads[0]] * len(writes) + reads})
    assert read_rows(l1, Layout.TILE, 5, rows // 2, rows, columns * CHUNK).tobytes() == values.tobytes()
    answers = [data.to_bytes(64, "little") for _, port, data in out["answers"]][-len(reads) :]
    assert_array_equal(np.frombuffer(b"".join(answers), np.uint8), np.frombuffer(b"".join(expected), np.uint8))
    cycles = [cycle for cycle, port, _, _ in out["grants"] if port == "a"][-len(reads) + 8 :]
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
