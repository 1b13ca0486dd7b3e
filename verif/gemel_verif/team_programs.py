"""Programs for the cores of one launch: what they tell each other, and what memory holds afterwards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from gemel_golden.aperture import APERTURE_SHIFT, aperture_base, l1_address
from gemel_golden.config import ChipConfig
from gemel_golden.isa import Opcode, encode

__all__ = ["TEAM_PROGRAMS", "Team", "beyond_l1"]

ROW = 640
"""Bytes that each core works on: they lie in both channels of `quad`."""
SLOT = 1024
"""Bytes of L1 for a row."""
TURNS = 5


class Listing:
    """A program under construction: every mnemonic is a method in lower case, addresses are (register, bytes)."""

    def __init__(self) -> None:
        self.bytes = b""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return partial(self._append, Opcode[name.upper()])

    def _append(
        self,
        opcode: Opcode,
        *,
        mem: tuple[int, int] | int = 0,
        l1: tuple[int, int] | int = 0,
        wait: Mapping[int, int] | None = None,
        signal: Mapping[int, int] | None = None,
        **values: int,
    ) -> None:
        for name, address in (("mem", mem), ("l1", l1)):
            if isinstance(address, tuple):
                values[f"{name}_reg"], values[name] = address
            elif address:
                values[name] = address
        for kind, counts in (("wait", wait), ("signal", signal)):
            for i, (semaphore, count) in enumerate((counts or {}).items()):
                values |= {f"{kind}{i}": semaphore, f"{kind}{i}_count": count}
        self.bytes += encode(opcode, **values)

    @contextmanager
    def loop(self, count: int) -> Iterator[None]:
        """What is appended inside runs `count` times."""
        self._append(Opcode.LOOP, count=count)
        yield
        self._append(Opcode.END)


class Team:
    """One launch: `program`, each rank's arguments, and the memory that it leaves, all at addresses from `base` on."""

    def __init__(self, chip: ChipConfig, cores: Sequence[int], base: int, data: np.ndarray):
        self.chip, self.cores, self.base = chip, tuple(cores), base
        self.program = Listing()
        self.arguments: list[list[int]] = []
        self.memory = data.copy()

    def row(self, which: int, rank: int) -> slice:
        """Where row `rank` of matrix `which` lies in `memory`."""
        start = (which * len(self.cores) + rank) * ROW
        return slice(start, start + ROW)

    def address(self, which: int, rank: int) -> int:
        """Its address."""
        return self.base + self.row(which, rank).start


def _move(p: Listing, kind: str, register: int, l1: int, **sync) -> None:
    whole = {"valid_bytes": ROW, "valid1": 1} if kind == "load" else {}
    getattr(p, kind)(mem=(register, 0), l1=l1, bytes=ROW, **whole, **sync)


def exchange_by_barrier(team: Team) -> None:
    """In each turn a core takes the row that the next one wrote in the turn before it."""
    p, n = team.program, len(team.cores)
    _move(p, "load", 1, 0, signal={0: 1})
    p.nop(wait={0: 1})
    with p.loop(TURNS):
        _move(p, "store", 2, 0)
        p.barrier()
        _move(p, "load", 3, 0)
        p.barrier()
    _move(p, "store", 4, 0)
    p.halt()
    for rank in range(n):
        places = [(0, rank), (1, rank), (1, (rank + 1) % n), (2, rank)]
        team.arguments.append([team.address(*place) for place in places])
    before = [team.memory[team.row(0, rank)].copy() for rank in range(n)]
    for rank in range(n):
        team.memory[team.row(2, rank)] = before[(rank + TURNS) % n]
        team.memory[team.row(1, rank)] = before[(rank + TURNS - 1) % n]


def exchange_by_signals(team: Team) -> None:
    """The same by semaphores: 1 counts rows that have been written, 2 rows that have been taken; each tells all."""
    p, n = team.program, len(team.cores)
    everybody = (1 << n) - 1
    _move(p, "load", 1, 0, signal={0: 1})
    with p.loop(TURNS):
        _move(p, "store", 2, 0, wait={0: 1}, signal={3: 1})
        p.signal(cores=everybody, wait={3: 1}, signal={1: 1})
        _move(p, "load", 3, 0, wait={1: n}, signal={4: 1})
        p.signal(cores=everybody, wait={4: 1}, signal={2: 1})
        p.nop(wait={2: n}, signal={0: 1})
    _move(p, "store", 4, 0, wait={0: 1})
    p.halt()
    exchanged = Team(team.chip, team.cores, team.base, team.memory)
    exchange_by_barrier(exchanged)
    team.arguments, team.memory = exchanged.arguments, exchanged.memory


def gather_by_multicast(team: Team) -> None:
    """In each turn every core loads a row of its own into all L1s, and stores all rows."""
    p, n = team.program, len(team.cores)
    everybody = (1 << n) - 1
    own = {"valid_bytes": ROW, "valid1": 1, "cores": everybody, "signal": {1: 1}}
    with p.loop(TURNS):
        p.load(mem=(1, 0), l1=(2, 0), bytes=ROW, **own)
        p.store(mem=(3, 0), l1=0, bytes=ROW, count1=n, stride1=ROW, pitch=SLOT // 32, wait={1: n})
        p.set(rd=1, rs1=1, imm=n * ROW)
        p.barrier()
    p.halt()
    for rank in range(n):
        team.arguments.append([team.address(0, rank), rank * SLOT, team.address(TURNS + rank, 0)])
        for row in range(n):
            team.memory[team.row(TURNS + rank, row)] = team.memory[team.row(TURNS - 1, row)]


def load_for_another(team: Team) -> None:
    """A core loads rows for the next one only, which stores them when its semaphore tells; its own L1 stays."""
    p, n = team.program, len(team.cores)
    _move(p, "load", 1, SLOT, signal={0: 1})
    p.nop(wait={0: 1})
    for rank in range(n):
        p.load(mem=(2 + rank, 0), l1=0, bytes=ROW, valid_bytes=ROW, valid1=1, cores=1 << rank, signal={1: 1})
    _move(p, "store", 10, 0, wait={1: n})
    _move(p, "store", 11, SLOT)
    p.halt()
    for rank in range(n):
        loads = [team.address(1, to) for to in range(n)] + [0] * (8 - n)
        team.arguments.append([team.address(0, rank), *loads, team.address(2, rank), team.address(3, rank)])
    for rank in range(n):
        team.memory[team.row(2, rank)] = team.memory[team.row(1, rank)]
        team.memory[team.row(3, rank)] = team.memory[team.row(0, rank)]


def pass_by_l1(team: Team) -> None:
    """Each core stores its row into the next one's L1, at an odd address, and loads another from the one before."""
    p, n = team.program, len(team.cores)
    p.load(l1=SLOT, bytes=ROW + 32)
    _move(p, "load", 1, 0)
    p.barrier()
    _move(p, "store", 2, 0)
    p.barrier()
    p.load(mem=(3, 0), l1=2 * SLOT, bytes=ROW - 1, valid_bytes=ROW - 1, valid1=1, signal={0: 1})
    p.store(mem=(4, 0), l1=SLOT, bytes=ROW + 32, wait={0: 1})
    p.store(mem=(5, 0), l1=2 * SLOT, bytes=ROW - 1)
    p.halt()
    for rank in range(n):
        following, before = team.cores[(rank + 1) % n], team.cores[rank - 1]
        there = l1_address(team.chip, following, SLOT + 5), l1_address(team.chip, before, 1)
        places = team.address(2, 0) + rank * SLOT, team.address(2, 0) + (n + rank) * SLOT
        team.arguments.append([team.address(0, rank), *there, *places])
    start = team.row(2, 0).start
    for rank in range(n):
        got = start + rank * SLOT
        team.memory[got : got + 5] = team.memory[got + 5 + ROW : got + ROW + 32] = 0
        team.memory[got + 5 : got + 5 + ROW] = team.memory[team.row(0, (rank - 1) % n)]
        got = start + (n + rank) * SLOT
        team.memory[got : got + ROW - 1] = team.memory[team.row(0, (rank - 1) % n)][1:]


def beyond_l1(chip: ChipConfig, what: str, where: str) -> tuple[bytes, int]:
    """A LOAD or STORE of bytes that no L1 has, and the address of its fault."""
    end = aperture_base(chip) + (1 << APERTURE_SHIFT) + chip.l1_bytes
    address = {"across the end": end - 100, "no core": aperture_base(chip) + (chip.cores << APERTURE_SHIFT) + 70}[where]
    p = Listing()
    p.nop()
    whole = {"valid_bytes": 300, "valid1": 1} if what == "load" else {}
    getattr(p, what)(mem=address, l1=0, bytes=300, **whole)
    p.halt()
    return p.bytes, end if where == "across the end" else address & -64


TEAM_PROGRAMS: dict[str, Callable[[Team], None]] = {
    "barrier": exchange_by_barrier,
    "signals": exchange_by_signals,
    "multicast": gather_by_multicast,
    "for another": load_for_another,
    "L1s": pass_by_l1,
}
"""Programs by name: each fills a `Team`."""
