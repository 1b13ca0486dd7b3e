"""Names for values: a vector register whose values never meet becomes several, so that each finds a number by itself.

Pipelines give one name to all iterations' values. In the bundles that fill and drain them these values lie otherwise
than in the kernel, and under one name they would need one number that suits them all.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from gemel.vector.ir import Bank, Op, Reg, Slot
from gemel.vector.layout import Layout

__all__ = ["split"]

Place = tuple[int, Slot]
"""A bundle's index and a slot."""


def split(layout: Layout) -> None:
    """Rename: definitions that no operation can see both of write different registers."""
    sites = [
        (i, slot)
        for i, bundle in enumerate(layout.bundles)
        for slot, op in bundle.items()
        if op.define and op.define[1].bank == Bank.VECTOR
    ]
    webs = _Webs(layout, sites)
    webs.unite()
    names = webs.names()
    for i, bundle in enumerate(layout.bundles):
        for slot, op in bundle.items():
            bundle[slot] = _renamed(op, webs, names, (i, slot))


class _Webs:
    """Definitions by number, those that meet in one class."""

    def __init__(self, layout: Layout, sites: list[Place]):
        self.layout, self.sites = layout, sites
        self.number = {site: n for n, site in enumerate(sites)}
        self.parent = list(range(len(sites)))
        self.of: dict[Reg, int] = defaultdict(int)
        """By register, the mask of its definitions."""
        for n, (i, slot) in enumerate(sites):
            self.of[self._target(i, slot)] |= 1 << n
        self.entry = self._reaching()

    def _target(self, i: int, slot: Slot) -> Reg:
        define = self.layout.bundles[i][slot].define
        assert define is not None, "a definition"
        return define[1]

    def _reaching(self) -> list[int]:
        """Before each bundle, the definitions that its operations may see."""
        bundles = self.layout.bundles
        made, gone = [0] * len(bundles), [0] * len(bundles)
        for n, (i, slot) in enumerate(self.sites):
            made[i] |= 1 << n
            for reg in bundles[i][slot].kills:
                gone[i] |= self.of[reg]
        entry, follow, todo = [0] * len(bundles), self.layout.successors(), [*range(len(bundles))]
        while todo:
            i = todo.pop()
            behind = (entry[i] & ~gone[i]) | made[i]
            for j in follow[i]:
                if behind & ~entry[j]:
                    entry[j] |= behind
                    todo.append(j)
        return entry

    def seen(self, i: int, reg: Reg) -> int | None:
        """The class of the definitions of a register that bundle i sees, ``None`` where there are none."""
        mask = self.entry[i] & self.of.get(reg, 0)
        return self._root((mask & -mask).bit_length() - 1) if mask else None

    def unite(self) -> None:
        """Join the definitions that an operation sees; what merges joins its own to them."""
        for i, bundle in enumerate(self.layout.bundles):
            for slot, op in bundle.items():
                for reg in op.reads:
                    mask = self.entry[i] & self.of.get(reg, 0)
                    if op.merges and op.define and op.define[1] is reg and (i, slot) in self.number:
                        mask |= 1 << self.number[i, slot]
                    self._join(mask)

    def _join(self, mask: int) -> None:
        first = None
        while mask:
            low = mask & -mask
            root = self._root(low.bit_length() - 1)
            first = root if first is None else first
            self.parent[root] = first
            mask ^= low

    def _root(self, n: int) -> int:
        while self.parent[n] != n:
            self.parent[n] = self.parent[self.parent[n]]
            n = self.parent[n]
        return n

    def names(self) -> dict[int, Reg]:
        """A register for each class: the first one of a register's keeps it."""
        found: dict[int, Reg] = {}
        taken: dict[Reg, int] = defaultdict(int)
        for n, (i, slot) in enumerate(self.sites):
            if (root := self._root(n)) not in found:
                reg = self._target(i, slot)
                found[root] = Reg(reg.bank, f"{reg.name}/{taken[reg]}") if taken[reg] else reg
                taken[reg] += 1
        return found

    def defined(self, place: Place) -> int | None:
        """The class of what an operation defines."""
        return self._root(self.number[place]) if place in self.number else None


def _renamed(op: Op, webs: _Webs, names: dict[int, Reg], place: Place) -> Op:
    def read(reg: Reg) -> Reg:
        web = webs.seen(place[0], reg) if reg.bank == Bank.VECTOR else None
        return reg if web is None else names[web]

    uses, define = {key: read(reg) for key, reg in op.uses.items()}, op.define
    if define and (web := webs.defined(place)) is not None:
        define = define[0], names[web]
    return replace(op, uses=uses, define=define)
