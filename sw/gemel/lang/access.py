"""Loads, stores and what is made once before a loop over the rows: the part of an emitter below its values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gemel.lang.errors import KernelError
from gemel.lang.graph import Node
from gemel.lang.storage import Field, Group
from gemel.vector import Addr, Builder, Operand, Pred, Scalar, Vec
from gemel_golden.vector_isa import LANES

__all__ = ["Access", "Address", "Arguments", "Value"]

Value = Vec | Scalar | Pred
ARGUMENTS = 9
GIVEN = 5
"""Those that take what the launch gives: x1 to x5."""
COLUMNS = 256
"""Columns that a load or store can add to its address register's."""


@dataclass
class Arguments:
    """Which of VECTOR's arguments x1 to x9 carries what. What the launch gives needs x1 to x5: the call's numbers, and
    where the rows are `shared`, what a core's first one counts."""

    shared: bool = False
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, what: Hashable, *, late: bool = True) -> int:
        """The argument for `what`, new or known."""
        if what not in self.numbers:
            # Shared, the first number may be a seed with x5 behind it for what the launch gives a random state.
            given = (4, 3, 2, 1, 5) if self.shared else (1, 2, 3, 4, 5)
            order = (6, 7, 8, 9, 5, 4, 3, 2, 1) if late else given
            free = [n for n in order if n not in self.numbers.values()]
            if not free:
                raise KernelError("the vector core's nine arguments don't suffice for this kernel's numbers and tiles")
            self.numbers[what] = free[0]
        return self.numbers[what]

    def in_a_row(self, whats: Sequence[Hashable], *, given: int | None = None) -> list[int] | None:
        """Consecutive arguments for new `whats`, of which the first may be known; ``None`` where there are none.
        `given`: the index of one that the launch gives."""
        first = self.numbers.get(whats[0])
        taken = {number for what, number in self.numbers.items() if what != whats[0]}
        for start in range(ARGUMENTS - len(whats) + 1, 0, -1) if first is None else (first,):
            numbers = [*range(start, start + len(whats))]
            fits = numbers[-1] <= ARGUMENTS and (given is None or numbers[given] <= GIVEN)
            if fits and not taken.intersection(numbers):
                self.numbers |= dict(zip(whats, numbers, strict=True))
                return numbers
        return None


class Address(NamedTuple):
    """What an address register is for."""

    group: Group
    column: int
    """Where it begins."""
    number: int
    """The pass that uses it: each has its own, so that iterations may overlap."""
    kind: tuple[int, bool] | None
    """Bits and whether it counts elements, where its column isn't zero or changes."""
    use: tuple[str, bool] | None
    """Loads or stores, and whether of elements, where iterations overlap: each steps at its own time."""
    stepping: int
    """Vectors by which it steps along the columns; 0: it doesn't."""
    downward: bool
    """It steps along the rows all the same, since the loop over the rows is the inner one."""

    @property
    def steps(self) -> tuple[int, int]:
        """Rows and columns that an access goes on, where it is the last one of an iteration."""
        if self.stepping and not self.downward:
            return 0, self.stepping
        return (0, 0) if self.group.flat else (1, 0)

    @property
    def along(self) -> str:
        """The loops in which it steps."""
        if self.stepping and not self.downward:
            return "columns"
        return "" if self.group.flat else "rows"

    @property
    def region(self) -> str:
        """A name for the bytes that it touches: between two fences nobody loads what is stored there."""
        return self.group.name if self.use is None else f"{self.group.name} {self.use}"


class Access:
    """Emits loads and stores into `builder`; values are kept by scope; what doesn't change from row to row is hoisted.

    A loop's body is emitted twice: first into a builder that is thrown away, to learn what it wants hoisted.
    """

    def __init__(self, arguments: Arguments, overlap: bool):
        self.arguments = arguments
        self.overlap = overlap
        self.builder = Builder()
        self.hoists: dict[Hashable, Callable[[], Any]] = {}
        self.ready: dict[Hashable, Any] = {}
        self.scopes: list[dict[Hashable, Value]] = [{}]
        self.pass_number = 0
        self.frames: list[tuple[int, str]] = [(0, "")]
        """The loops around what is emitted: a number, and "rows" or "columns" where addresses step in them."""
        self.accesses: dict[tuple[int, Address], int] = {}
        """By loop and address register, the accesses emitted so far."""
        self.expected: dict[tuple[int, Address], int] = {}
        """Those that the first emission counted: the last one lets the address step."""
        self._frames = 0
        self.around = 0
        """How many times `looped` was called."""
        self.downward = False
        """The loop over the rows is the inner one."""
        self.stepping = 0
        """Vectors by which addresses step along the columns; 0: they don't, and vectors count from the row's start."""
        self.before: int | None = 0
        """Vectors of the row before vector 0; ``None`` in a loop over columns, where all are whole."""

    def hoisted(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once before the loop over the rows."""
        if key not in self.ready:
            made = make()
            self.hoists.setdefault(key, make)
            self.ready[key] = made
        return self.ready[key]

    def looped(self, body: Callable[[], None], around: Callable[[Callable[[], None]], None]) -> None:
        """Emit `body` inside the loops that `around` opens, with what it wants hoisted before them."""
        self.around += 1
        real, self.builder = self.builder, Builder()
        self._begin({})
        around(body)
        hoists, self.builder = self.hoists, real
        self._begin(self.accesses)
        for key, make in hoists.items():
            self.hoisted(key, make)
        around(body)

    def _begin(self, expected: dict[tuple[int, Address], int]) -> None:
        self.hoists, self.ready, self.scopes = {}, {}, [{}]
        self.accesses, self.expected, self._frames = {}, expected, 0

    @contextmanager
    def loop(self, count: int, kind: str, *, overlap: bool = True) -> Iterator[int]:
        """A loop in which addresses step along "rows" or "columns" with their last access; its number."""
        self._frames += 1
        self.frames.append((self._frames, kind))
        with self.builder.loop(count, pipeline=overlap):
            yield self._frames
        self.frames.pop()

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values made inside are forgotten at the end."""
        self.scopes.append({})
        yield
        self.scopes.pop()

    def forget(self, which: Callable[[Node, int | None], bool]) -> None:
        """Drop vectors of nodes, which are then made again when they are needed."""
        for scope in self.scopes:
            for key in [*scope]:
                if isinstance(key, tuple) and isinstance(key[0], Node) and which(*key):
                    del scope[key]

    def argument(self, what: Hashable, *, late: bool = True) -> Scalar:
        """One of VECTOR's arguments."""
        return self.builder.arg(self.arguments.number(what, late=late))

    def first_row(self, unit: int, *, into: Scalar | None = None) -> Scalar:
        """What the block's first row counts, in units of a row: a copy of the argument."""
        shared = self.arguments.shared
        row = self.argument(("shared row" if shared else "row", unit), late=not shared)
        return self.builder.sadd(row, 0, into=into)

    def address(self, key: Address) -> Addr:
        """The group's address register at row 0."""

        def make() -> Addr:
            group = key.group
            base: int | Scalar = self.argument(group) if group.streamed else group.bases[0]
            apart = bool(key.along)
            address = self.builder.address(
                base, group.pitch, group.tile, steps=key.steps, region=key.region, memory=key.group.name, apart=apart
            )
            if key.column:
                self.builder.move(address, 0, key.column)
            return address

        return self.hoisted(key, make)

    @property
    def addresses(self) -> dict[Address, Addr]:
        """The address registers in use."""
        return {key: value for key, value in self.ready.items() if isinstance(key, Address)}

    @property
    def row_numbers(self) -> list[Scalar]:
        """Scalars that count the rows."""
        return [v for key, v in self.ready.items() if isinstance(key, tuple) and key[0] == "row number"]

    def place(self, item: Field, j: int, use: str) -> tuple[Addr, int, bool]:
        """Address register and column for vector `j` (of this iteration) of a field, and whether the address steps."""
        first = item.offset // item.unit
        stepping = self.stepping > 0 and item.cols > 1
        column = first + j
        base = column // COLUMNS * COLUMNS
        if stepping:
            base = 0 if first + self.stepping <= COLUMNS else first
        kind = (item.fmt.bits, item.element) if stepping or base else None
        apart = (use, item.element) if self.overlap and not item.group.flat else None
        step = self.stepping if stepping else 0
        key = Address(item.group, base, self.pass_number, kind, apart, step, self.downward)
        return self.address(key), column - base, self._steps(key)

    def _steps(self, key: Address) -> bool:
        """Whether this is the last access of a loop's iteration to an address that steps there."""
        number, kind = self.frames[-1]
        self.accesses[number, key] = self.accesses.get((number, key), 0) + 1
        return kind == key.along and self.accesses[number, key] == self.expected.get((number, key))

    def load(self, item: Field, j: int) -> Vec:
        """Vector `j` of a field, or its element in all lanes."""
        address, column, post = self.place(item, j, "load")
        loaded = self.builder.load(address, item.fmt, col=column, element=item.element, post=post)
        return loaded.first if item.cols == 1 and not item.element else loaded

    def store(self, item: Field, j: int, value: Operand, *, saturate: bool = True, random: Vec | None = None) -> None:
        """Write vector `j` of a field, or its element; lanes beyond the row's end stay."""
        address, column, post = self.place(item, j, "store")
        pred = None if item.element else self.tail(item.cols, j)
        self.builder.store(
            address,
            item.fmt,
            value,
            col=column,
            element=item.element,
            post=post,
            pred=pred,
            saturate=saturate,
            random=random,
        )

    def tail(self, cols: int, j: int) -> Pred | None:
        """The lanes that vector `j` of a row has, where not all."""
        if self.before is None or (left := cols - (self.before + j) * LANES) >= LANES:
            return None
        return self.hoisted(("lanes", left), lambda: self.builder.lanes_below(left))
