"""Values in registers: each node of a kernel's graph as operations of the vector builder, a vector at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from gemel.lang.access import Access, Arguments, Value
from gemel.lang.errors import KernelError
from gemel.lang.graph import Node, Op
from gemel.lang.order import CHAINS, IDENTITIES, METHODS
from gemel.lang.storage import Field
from gemel.vector import Pred, Scalar, Vec
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import LANES

__all__ = ["Emitter"]

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


class Emitter(Access):
    """Makes values of nodes: from registers where they are kept, from L1 where `fields` has them, or by operations."""

    def __init__(
        self,
        fields: Mapping[Node, Field],
        blocked: set[Node],
        arguments: Arguments,
        pool: Mapping[int, Field],
        *,
        overlap: bool,
    ):
        super().__init__(arguments, overlap)
        self.fields = fields
        self.blocked = blocked
        self.pool = pool
        self.loadable: Callable[[Node], bool] = lambda _: True
        """Whether a node with a field is loaded from it."""
        self.states: dict[Node, list[int]] = {}
        """Random nodes whose state is in arguments."""
        self.users: dict[Node, tuple[int, int]] = {}
        """The loop and the pass that use it."""
        self.keep_lines = False
        """What doesn't change from row to row is loaded once."""

    def value(self, node: Node, j: int | None) -> Value:
        """Vector `j` of a wide tile (in a loop over columns, of this iteration), or what all lanes share."""
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

    def operand(self, node: Node, j: int | None) -> Vec | Scalar:
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

    def constant(self, bits: int) -> Vec | Scalar:
        """A constant, in a scalar register or from the pool in L1."""
        if bits not in self.pool:
            return self.builder.const(bits)
        key = (("pool", bits), None)
        if key not in self.scopes[-1]:
            item = self.pool[bits]
            self.scopes[-1][key] = self.load(item, 0)
        found = self.scopes[-1][key]
        assert isinstance(found, Vec), "a loaded constant is a vector"
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
                return -self.operand(node.inputs[0], j)
            case Op.ABSOLUTE:
                return abs(self.operand(node.inputs[0], j))
            case Op.NOT:
                return ~self.truth(node.inputs[0], j)
            case Op.AND:
                return self._and(node.inputs[0], node.inputs[1], j)
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
            return inputs[0]
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
            return self.hoisted(("row number", self.pass_number), lambda: self.first_row(1))
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
        b, seed = self.builder, node.inputs[0]
        vectors = -(-node.shape[1] // LANES)
        groups = LANES // 4
        if node in self.states and self.users.setdefault(node, (self.around, self.pass_number)) == (
            self.around,
            self.pass_number,
        ):
            state = b.philox_state(*map(b.arg, self.states[node]))
            words = b.philox(state)
            b.advance(state)
            return words if node.shape[1] > 1 else words.first
        group = self.hoisted(("random", node, self.pass_number), lambda: self.first_row(vectors * groups))
        low = seed.detail if seed.op == Op.CONST else self.argument(("scalar", seed.detail), late=False)
        words = b.philox(b.philox_state(low, 0, node.detail, group))
        b.sadd(group, groups, into=group)
        return words if node.shape[1] > 1 else words.first

    def keep_state(self, node: Node) -> None:
        """Let arguments in a row hold a random node's state, where there are any: Philox takes it from there.

        Where the rows are shared, what a core's first one counts comes in the place of the seed's upper half, which is
        zero, and is added to what the block's first row counts there: no other argument is taken.
        """
        seed, vectors, shared = node.inputs[0], -(-node.shape[1] // LANES), self.arguments.shared
        low = ("number", seed.detail, "seed") if seed.op == Op.CONST else ("scalar", seed.detail)
        unit = vectors * LANES // 4
        high = ("start", unit) if shared else ("number", 0, "high")
        whats = (low, high, ("number", node.detail, "stream"), ("row", unit, node))
        if (found := self.arguments.in_a_row(whats, given=1 if shared else None)) is not None:
            self.states[node] = found
            if shared:
                start, group = self.builder.arg(found[1]), self.builder.arg(found[3])
                self.builder.sadd(group, start, into=group)
                self.builder.sadd(0, 0, into=start)

    def _scan(self, node: Node, j: int | None) -> Vec:
        method = METHODS[node.detail]
        source = self.vector(node.inputs[0], j)
        if j is None:
            return getattr(self.builder, method)(source, self.builder.const(0))
        scanned = self.builder.scan(method, source)
        if j == 0 and not self.stepping:
            return scanned
        before = self.carried(("scan", node)) if j == 0 else self.vector(node, j - 1).last
        return getattr(self.builder, method)(scanned, before)

    # Reductions along a row

    def chain(self, node: Node, chains: list[Vec], j: int) -> None:
        """Take vector `j` of a row into its chain."""
        b, op, cols = self.builder, node.detail[0], node.inputs[0].shape[1]
        values = [self.vector(source, j) for source in node.inputs]
        present = self.tail(cols, j)
        if j < CHAINS and len(chains) <= j:
            value = b.mul(values[0], values[1]) if op == LaneOp.FMA else values[0]
            if present is not None:
                whole = b.mov(b.const(IDENTITIES[op]))
                b.mov(value, into=whole, pred=present)
                value = whole
            chains.append(value)
            return
        chain = chains[j % CHAINS]
        method = "fma" if op == LaneOp.FMA else METHODS[op]
        given = (*values, chain) if op == LaneOp.FMA else (chain, *values)
        if present is None:
            chains[j % CHAINS] = getattr(b, method)(*given)
        else:
            chains[j % CHAINS] = b.mov(chain)
            getattr(b, method)(*given, into=chains[j % CHAINS], pred=present)

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
            self.chain(node, chains, j)
        return self.finish(op, chains)
