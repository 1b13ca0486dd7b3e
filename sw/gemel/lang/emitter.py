"""Values in registers: each node of a kernel's graph as operations of the vector builder, a vector at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gemel.lang.errors import KernelError
from gemel.lang.graph import Kind, Node, Op
from gemel.lang.order import CHAINS, IDENTITIES, METHODS
from gemel.lang.storage import Field, Group
from gemel.vector import Addr, Builder, Operand, Philox, Pred, Scalar, Vec
from gemel_golden.formats import FORMATS
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import LANES

__all__ = ["Arguments", "Emitter"]

Value = Vec | Scalar | Pred
COLUMNS = 256
"""Columns that a load or store can add to its address register's."""

_LANE_METHODS: dict[LaneOp, str] = {
    LaneOp.FMA: "fma",
    LaneOp.ADD: "add",
    LaneOp.MUL: "mul",
    LaneOp.MIN: "min",
    LaneOp.MAX: "max",
    LaneOp.F2I: "f2i",
    LaneOp.I2F: "i2f",
    LaneOp.FLOOR: "floor",
    LaneOp.IADD: "iadd",
    LaneOp.ISUB: "isub",
    LaneOp.IMUL: "imul",
    LaneOp.AND: "and_",
    LaneOp.OR: "or_",
    LaneOp.XOR: "xor",
    LaneOp.SHL: "shl",
    LaneOp.SHR: "shr",
    LaneOp.SRA: "sra",
    LaneOp.IMIN: "imin",
    LaneOp.IMAX: "imax",
    LaneOp.FLT: "lt",
    LaneOp.FLE: "le",
    LaneOp.FEQ: "eq",
    LaneOp.FNE: "ne",
    LaneOp.ILT: "ilt",
    LaneOp.IEQ: "ieq",
    LaneOp.IULT: "iult",
    LaneOp.IS_NAN: "is_nan",
}


@dataclass
class Arguments:
    """Which of VECTOR's arguments x1 to x9 carries what. The numbers of the call need x1 to x5."""

    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, what: Hashable, *, late: bool = True) -> int:
        """The argument for `what`, new or known."""
        if what not in self.numbers:
            order = (6, 7, 8, 9, 5, 4, 3, 2, 1) if late else (1, 2, 3, 4, 5)
            free = [n for n in order if n not in self.numbers.values()]
            if not free:
                raise KernelError("the vector core's nine arguments don't suffice for this kernel's numbers and tiles")
            self.numbers[what] = free[0]
        return self.numbers[what]


class Emitter:
    """Emits nodes into `builder`. Values are kept by scope; what doesn't change from row to row is hoisted.

    A loop's body is emitted twice: first into a builder that is thrown away, to learn what it wants hoisted.
    """

    def __init__(
        self, fields: Mapping[Node, Field], blocked: set[Node], arguments: Arguments, pool: Mapping[int, Field]
    ):
        self.fields = fields
        self.blocked = blocked
        self.arguments = arguments
        self.pool = pool
        self.builder = Builder()
        self.hoists: dict[Hashable, Callable[[], Any]] = {}
        self.ready: dict[Hashable, Any] = {}
        self.scopes: list[dict[Hashable, Value]] = [{}]
        self.loadable: Callable[[Node], bool] = lambda _: True
        self.pass_number = 0
        self.keep_lines = False
        """What doesn't change from row to row is loaded once."""
        self.stepping = 0
        """Vectors by which the addresses step along the columns; 0: they don't, and vectors count from the row's start."""
        self.before: int | None = 0
        """Vectors of the row before vector 0; ``None`` in a loop over columns, where all are whole."""

    # Hoisting

    def hoisted(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once before the loop over the rows."""
        if key not in self.ready:
            made = make()
            self.hoists.setdefault(key, make)
            self.ready[key] = made
        return self.ready[key]

    def looped(self, body: Callable[[], None], around: Callable[[Callable[[], None]], None]) -> None:
        """Emit `body` inside the loops that `around` opens, with what it wants hoisted before them."""
        real, self.builder = self.builder, Builder()
        self.hoists, self.ready, self.scopes = {}, {}, [{}]
        body()
        hoists, self.builder = self.hoists, real
        self.hoists, self.ready, self.scopes = {}, {}, [{}]
        for key, make in hoists.items():
            self.hoisted(key, make)
        around(body)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values made inside are forgotten at the end."""
        self.scopes.append({})
        yield
        self.scopes.pop()

    def forget(self, which: Callable[[Node], bool]) -> None:
        """Drop values of nodes, which are then made again when they are needed."""
        for scope in self.scopes:
            for key in [key for key in scope if isinstance(key, tuple) and isinstance(key[0], Node) and which(key[0])]:
                del scope[key]

    # Addresses

    def argument(self, what: Hashable, *, late: bool = True) -> Scalar:
        """One of VECTOR's arguments."""
        return self.builder.arg(self.arguments.number(what, late=late))

    def address(self, group: Group, column: int, key: Hashable) -> Addr:
        """The group's address register at row 0 and `column`."""

        def make() -> Addr:
            base: int | Scalar = self.argument(group) if group.streamed else group.bases[0]
            address = self.builder.address(base, group.pitch, group.tile, region=group.name)
            if column:
                self.builder.move(address, 0, column)
            return address

        return self.hoisted(("address", group, column, key), make)

    def addresses(self) -> dict[Hashable, Addr]:
        """The address registers in use by (group, starting column, key)."""
        return {key[1:]: value for key, value in self.ready.items() if isinstance(key, tuple) and key[0] == "address"}

    def place(self, item: Field, j: int) -> tuple[Addr, int]:
        """The address register and the column for vector `j` (of this iteration) of a field."""
        first = item.offset // item.unit
        stepping = self.stepping > 0 and item.cols > 1
        column = first + j
        if stepping:
            base = 0 if first + self.stepping <= COLUMNS else first
        else:
            base = column // COLUMNS * COLUMNS
        key = (self.pass_number, item.fmt.bits, item.element) if stepping or base else (self.pass_number,)
        return self.address(item.group, base, (*key, stepping)), column - base

    def load(self, item: Field, j: int) -> Vec:
        """Vector `j` of a field, or its element in all lanes."""
        address, column = self.place(item, j)
        loaded = self.builder.load(address, item.fmt, col=column, element=item.element)
        return loaded.first if item.cols == 1 and not item.element else loaded

    def store(self, item: Field, j: int, value: Operand, *, saturate: bool = True, random: Vec | None = None) -> None:
        """Write vector `j` of a field, or its element; lanes beyond the row's end stay."""
        address, column = self.place(item, j)
        pred = None if item.element else self.tail(item.cols, j)
        self.builder.store(
            address,
            item.fmt,
            value,
            col=column,
            element=item.element,
            pred=pred,
            saturate=saturate,
            random=random,
        )

    def tail(self, cols: int, j: int) -> Pred | None:
        """The lanes that vector `j` of a row has, where not all."""
        if self.before is None or (left := cols - (self.before + j) * LANES) >= LANES:
            return None
        return self.hoisted(("lanes", left), lambda: self.builder.lanes_below(left))

    # Values

    def value(self, node: Node, j: int | None) -> Value:
        """Vector `j` of a wide tile (of this iteration, in a loop over columns); of another one what all lanes share."""
        key = (node, j if node.shape[1] > 1 else None)
        for scope in self.scopes:
            if key in scope:
                return scope[key]
        if node.op == Op.CONST:
            return self.constant(node.detail)
        if node.op == Op.SCALAR:
            return self.argument(("scalar", node.detail), late=False)
        if node not in self.blocked and node.shape[1] == 1:
            return self.hoisted(("uniform", node), lambda: self._make(node, None))
        made = self._make(node, key[1])
        self.scopes[-1][key] = made
        return made

    def operand(self, node: Node, j: int | None) -> Operand:
        """A value that isn't a truth value."""
        found = self.value(node, j)
        assert not isinstance(found, Pred), "a truth value is no operand"
        return found

    def vector(self, node: Node, j: int | None) -> Vec:
        """A value as a vector register."""
        found = self.operand(node, j)
        return found if isinstance(found, Vec) else self.builder.mov(found)

    def truth(self, node: Node, j: int | None) -> Pred:
        """A truth value."""
        found = self.value(node, j)
        assert isinstance(found, Pred), "a number is no truth value"
        return found

    def constant(self, bits: int) -> Operand:
        """A constant, in a scalar register or from the pool in L1."""
        if bits not in self.pool:
            return self.builder.const(bits)
        key = (("pool", bits), None)
        if key not in self.scopes[-1]:
            item = self.pool[bits]
            address, column = self.place(item, 0)
            self.scopes[-1][key] = self.builder.load(address, item.fmt, col=column, element=True)
        found = self.scopes[-1][key]
        assert not isinstance(found, Pred)
        return found

    def _make(self, node: Node, j: int | None) -> Value:
        if node in self.fields and self.loadable(node):
            item = self.fields[node]
            if item.group.flat and self.keep_lines and not self.stepping:
                return self.hoisted(("line", node, j), lambda: self.load(item, j or 0))
            return self.load(item, j or 0)
        b = self.builder
        match node.op:
            case Op.LANE:
                return self._lane(node, j)
            case Op.FUNCTION:
                return b.function(node.detail, self.operand(node.inputs[0], j))
            case Op.NEGATE:
                return -self.operand(node.inputs[0], j)  # pyright: ignore[reportReturnType]
            case Op.ABSOLUTE:
                return abs(self.operand(node.inputs[0], j))  # pyright: ignore[reportReturnType]
            case Op.NOT:
                return ~self.truth(node.inputs[0], j)
            case Op.AND:
                return self._and(*node.inputs, j)
            case Op.SELECT:
                truth, a, c = node.inputs
                a, c = self.operand(a, j), self.operand(c, j)
                return b.select(self.truth(truth, j), a, c)
            case Op.BITS:
                return self.value(node.inputs[0], j)
            case Op.INDEX:
                return self._index(node, j)
            case Op.RANDOM:
                return self._random(node)
            case Op.SCAN:
                return self._scan(node, j)
            case Op.REDUCE:
                return self.reduced(node)
        raise KernelError(f"{node.op.name.lower()} can't stand here: {node.op.value}", node.where)

    def _lane(self, node: Node, j: int | None) -> Value:
        inputs = [self.operand(source, j) for source in node.inputs]
        if node.detail == LaneOp.MOV:
            return inputs[0]  # pyright: ignore[reportReturnType]
        return getattr(self.builder, _LANE_METHODS[node.detail])(*inputs)

    def _and(self, first: Node, second: Node, j: int | None) -> Pred:
        """The second truth value under the first: comparisons take a predicate."""
        b = self.builder
        if second.op == Op.LANE:
            inputs = [self.operand(source, j) for source in second.inputs]
            return getattr(b, _LANE_METHODS[second.detail])(*inputs, pred=self.truth(first, j))
        number = b.select(self.truth(second, j), b.const(1), b.const(0))
        return b.ieq(number, b.const(1), pred=self.truth(first, j))

    def _index(self, node: Node, j: int | None) -> Value:
        b = self.builder
        if node.detail == 0:
            return self.hoisted(("row", self.pass_number), lambda: self.builder.sadd(self.argument(("row", 1)), 0))
        lanes = self.hoisted(("iota",), lambda: self.builder.iota())
        if not j:
            return self.carried(("columns",)) if self.stepping else lanes
        return b.iadd(self.operand(node, j - 1), b.const(LANES))

    def carried(self, key: Hashable) -> Vec:
        """A variable of a loop over columns, which its opener has made."""
        found = next(scope[(key, "carried")] for scope in self.scopes if (key, "carried") in scope)
        assert isinstance(found, Vec), "a variable is a vector"
        return found

    def _random(self, node: Node) -> Vec:
        b = self.builder
        vectors = -(-node.shape[1] // LANES)

        def make() -> Philox:
            seed = node.inputs[0]
            low = seed.detail if seed.op == Op.CONST else self.argument(("scalar", seed.detail), late=False)
            group = self.argument(("row", vectors * (LANES // 4)))
            return self.builder.philox_state(low, 0, node.detail, group)

        state = self.hoisted(("philox", node, self.pass_number), make)
        words = b.philox(state)
        b.advance(state)
        return words if node.shape[1] > 1 else words.first

    def _scan(self, node: Node, j: int | None) -> Vec:
        method = METHODS[node.detail]
        source = self.vector(node.inputs[0], j)
        if j is None:
            return getattr(self.builder, method)(source, 0.0 if node.kind == Kind.FLOAT else self.builder.const(0))
        scanned = self.builder.scan(method, source)
        if j == 0 and not self.stepping:
            return scanned
        before = self.carried(("scan", node)) if j == 0 else self.vector(node, j - 1).last
        return getattr(self.builder, method)(scanned, before)

    # Reductions along a row

    def chain(self, op: LaneOp, chains: list[Vec], j: int, value: Vec, cols: int) -> None:
        """Take vector `j` of a row into its chain."""
        b, method, present = self.builder, METHODS[op], self.tail(cols, j)
        if j < CHAINS and len(chains) <= j:
            if present is not None:
                whole = b.mov(b.const(IDENTITIES[op]))
                b.mov(value, into=whole, pred=present)
                value = whole
            chains.append(value)
            return
        chain = chains[j % CHAINS]
        if present is None:
            chains[j % CHAINS] = getattr(b, method)(chain, value)
        else:
            chains[j % CHAINS] = b.mov(chain)
            getattr(b, method)(chain, value, into=chains[j % CHAINS], pred=present)

    def finish(self, op: LaneOp, chains: list[Vec]) -> Vec:
        """All chains and lanes in all lanes."""
        b, method = self.builder, METHODS[op]
        return b.reduce(method, b.combine(method, chains, ways=CHAINS))

    def reduced(self, node: Node) -> Vec:
        """A reduction along the row, in place."""
        op, source = node.detail[0], node.inputs[0]
        if source.shape[1] == 1:
            return getattr(self.builder, METHODS[op])(self.operand(source, None), self.builder.const(IDENTITIES[op]))
        chains: list[Vec] = []
        for j in range(-(-source.shape[1] // LANES)):
            self.chain(op, chains, j, self.vector(source, j), source.shape[1])
        return self.finish(op, chains)


RAW = FORMATS["fp32"]
"""The format in which 32-bit values of any kind pass through L1."""
