"""Register allocation: which virtual registers live at the same time in a layout, and numbers for them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from gemel.vector.ir import Bank, Reg
from gemel.vector.layout import Layout
from gemel.vector.schedule import Bundle

__all__ = ["TooManyRegisters", "allocate", "live_across"]


class TooManyRegisters(ValueError):
    """A program needs more registers at the same time than there are."""

    def __init__(self, bank: Bank, live: int):
        what = f"{bank.name.lower()} registers"
        super().__init__(f"{live} {what} are needed at the same time; there are {len(bank.registers)}")
        self.bank, self.live = bank, live


def live_across(layout: Layout, start: int) -> set[Reg]:
    """Registers whose value before bundle `start` is needed later."""
    regs = list(dict.fromkeys(reg for b in layout.bundles for op in b.values() for reg in op.reads + op.writes))
    bit = {reg: 1 << i for i, reg in enumerate(regs)}
    _, live_out = _liveness(layout.bundles, layout.successors(), bit)
    return {reg for reg in regs if live_out[start - 1] & bit[reg]}


def allocate(layout: Layout) -> dict[Reg, int]:
    """A number for each virtual register. Raises `TooManyRegisters`."""
    bundles = layout.bundles
    regs = list(dict.fromkeys(reg for b in bundles for op in b.values() for reg in op.reads + op.writes))
    bit = {reg: 1 << i for i, reg in enumerate(regs)}
    entry, live_out = _liveness(bundles, layout.successors(), bit)
    neighbours = _interference(bundles, entry, live_out, bit)
    numbers: dict[Reg, int] = {}
    for bank in Bank:
        own = [reg for reg in regs if reg.bank == bank]
        mask = sum(bit[reg] for reg in own)
        pairs = zip(bundles, live_out, strict=True)
        most = max(((live | _written(bundle, bit)) & mask).bit_count() for bundle, live in pairs)
        graph = {reg: [other for other in own if bit[other] & neighbours[reg]] for reg in own}
        found = _colour(graph, bank) if most <= len(bank.registers) else None
        if found is None:
            raise TooManyRegisters(bank, max(most, len(bank.registers) + 1))
        numbers |= found
    return numbers


def _written(bundle: Bundle, bit: dict[Reg, int]) -> int:
    mask = 0
    for op in bundle.values():
        for reg in op.writes:
            mask |= bit[reg]
    return mask


def _liveness(bundles: Sequence[Bundle], follow: Sequence[Sequence[int]], bit: dict[Reg, int]) -> tuple[int, list[int]]:
    """Registers live at entry, and behind each bundle, as masks."""
    use, kill = [0] * len(bundles), [0] * len(bundles)
    for i, bundle in enumerate(bundles):
        for op in bundle.values():
            for reg in op.reads:
                use[i] |= bit[reg]
            for reg in op.kills:
                kill[i] |= bit[reg]
    live_in, live_out = [0] * len(bundles), [0] * len(bundles)
    changed = True
    while changed:
        changed = False
        for i in reversed(range(len(bundles))):
            out = 0
            for j in follow[i]:
                out |= live_in[j]
            into = (out & ~kill[i]) | use[i]
            if out != live_out[i] or into != live_in[i]:
                live_out[i], live_in[i], changed = out, into, True
    return live_in[0], live_out


def _interference(
    bundles: Sequence[Bundle], entry: int, live_out: Sequence[int], bit: dict[Reg, int]
) -> dict[Reg, int]:
    """Of each register, the mask of those that need another number."""
    neighbours: dict[Reg, int] = dict.fromkeys(bit, 0)
    for reg, mask in bit.items():
        if entry & mask:
            neighbours[reg] |= entry & ~mask
    for bundle, live in zip(bundles, live_out, strict=True):
        written = _written(bundle, bit)
        for op in bundle.values():
            for reg in op.writes:
                neighbours[reg] |= (live | written) & ~bit[reg]
    by_bit = {mask: reg for reg, mask in bit.items()}
    for reg, mask in list(neighbours.items()):
        while mask:
            low = mask & -mask
            neighbours[by_bit[low]] |= bit[reg]
            mask ^= low
    return neighbours


Graph = dict[Reg, list[Reg]]


_ANY = 0.1
"""How often a random number is taken instead of the lowest free one."""
_TRIES = 40
"""Orders of choice that are tried, all but the first with a random choice between equals."""


def _colour(graph: Graph, bank: Bank) -> dict[Reg, int] | None:
    """Numbers such that neighbours differ, or ``None`` when no try finds them."""
    chance = random.Random(0)
    for attempt in range(_TRIES):
        numbers = {reg: reg.fixed for reg in graph if reg.fixed is not None}
        if not _place_groups(graph, bank, numbers):
            return None
        if _saturated(graph, bank, numbers, chance if attempt else None):
            return numbers
    return None


def _taken(reg: Reg, graph: Graph, numbers: dict[Reg, int]) -> set[int]:
    return {numbers[other] for other in graph[reg] if other in numbers}


def _place_groups(graph: Graph, bank: Bank, numbers: dict[Reg, int]) -> bool:
    """Consecutive numbers first: they are the hardest to find."""
    for group in dict.fromkeys(reg.group for reg in graph if reg.group):
        for start in reversed(bank.registers):
            wanted = {reg: start + i for i, reg in enumerate(group)}
            if wanted[group[-1]] in bank.registers and not any(
                number in _taken(reg, graph, numbers) for reg, number in wanted.items() if reg in graph
            ):
                numbers |= wanted
                break
        else:
            return False
    return True


def _saturated(graph: Graph, bank: Bank, numbers: dict[Reg, int], chance: random.Random | None) -> bool:
    """The register with the fewest numbers left goes first (DSATUR)."""
    taken = {reg: _taken(reg, graph, numbers) for reg in graph if reg not in numbers}
    while taken:
        weights = {reg: (len(used), chance.random() if chance else len(graph[reg])) for reg, used in taken.items()}
        reg = max(weights, key=lambda reg: weights[reg])
        used = taken.pop(reg)
        free = [number for number in bank.registers if number not in used]
        if not free:
            return False
        numbers[reg] = chance.choice(free) if chance and chance.random() < _ANY else free[0]
        for other in graph[reg]:
            if other in taken:
                taken[other].add(numbers[reg])
    return True
