"""The plain NumPy interpreter: a traced kernel on whole arrays, with the golden model's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.lang.graph import Cast, Graph, Kind, Node, Op, stored
from gemel.lang.order import CHAINS, IDENTITIES
from gemel_golden import fp32, functions, lane_ops
from gemel_golden.dot import block_matmul
from gemel_golden.formats import by_name
from gemel_golden.lane_ops import LaneOp
from gemel_golden.philox import element_words
from gemel_golden.rounding import from_fp32, to_e8m0
from gemel_golden.vector_isa import LANES
from gemel_golden.widen import widen

__all__ = ["interpret"]

Array = NDArray[Any]


def interpret(graph: Graph, tensors: Mapping[int, Array], scalars: Mapping[int, int]) -> list[Array]:
    """Codes of the outputs, from codes (rows, columns) of the tensors and 32 bits of the numbers, by position."""
    run = _Interpreter(tensors, scalars)
    for node in graph.nodes:
        run.values[node] = run.evaluate(node)
    return [np.broadcast_to(run.output(node), node.shape) for node in graph.outputs]


class _Interpreter:
    """Values are FP32 or INT32 bits, or truth values; codes are kept of what has a format."""

    def __init__(self, tensors: Mapping[int, Array], scalars: Mapping[int, int]):
        self.tensors, self.scalars = tensors, scalars
        self.values: dict[Node, Array] = {}
        self.codes: dict[Node, Array] = {}

    def output(self, node: Node) -> Array:
        """Codes of an output; a parameter's own are converted there and back."""
        if node.op == Op.INPUT:
            return _encode(self.values[node], Cast(node.detail[1], saturate=False), None)
        return self.codes[node] if node in self.codes else self.values[node]

    def evaluate(self, node: Node) -> Array:
        """A node whose inputs have values."""
        inputs = [self.values[source] for source in node.inputs]
        match node.op:
            case Op.INPUT:
                self.codes[node] = self.tensors[node.detail[0]]
                return widen(self.codes[node], node.detail[1])
            case Op.SCALAR:
                return np.full((1, 1), self.scalars[node.detail], np.uint32)
            case Op.CONST:
                return np.full((1, 1), node.detail, np.uint32)
            case Op.LANE:
                return self._lane(node, np.broadcast_arrays(*inputs))
            case Op.FUNCTION:
                return functions.evaluate(node.detail, inputs[0])
            case Op.NEGATE:
                return lane_ops.modify(inputs[0], False, True)
            case Op.ABSOLUTE:
                return lane_ops.modify(inputs[0], True, False)
            case Op.NOT:
                return ~inputs[0]
            case Op.AND:
                return inputs[0] & inputs[1]
            case Op.SELECT:
                return np.where(inputs[0], inputs[1], inputs[2])
            case Op.BITS | Op.TRANSPOSE:
                return inputs[0]
            case Op.REDUCE:
                op, axis = node.detail
                return _rows(op, *np.broadcast_arrays(*inputs)) if axis == 1 else _columns(op, inputs[0])
            case Op.SCAN:
                return _scan(node.detail, inputs[0])
            case Op.CAST:
                return self._cast(node, inputs)
            case Op.INDEX:
                return np.arange(max(node.shape), dtype=np.uint32).reshape(node.shape)
            case Op.RANDOM:
                return _random(node, int(inputs[0][0, 0]))
            case Op.DOT:
                return self._dot(node)

    def _lane(self, node: Node, inputs: tuple[Array, ...]) -> Array:
        a, b, c = (*(np.ascontiguousarray(x) for x in inputs), *[np.zeros(inputs[0].shape, np.uint32)] * 2)[:3]
        result = lane_ops.apply(node.detail, a, b, c)
        return result != 0 if node.kind == Kind.BOOL else result

    def _cast(self, node: Node, inputs: list[Array]) -> Array:
        words = np.broadcast_to(inputs[1], node.shape) if node.detail.stochastic else None
        self.codes[node] = _encode(np.broadcast_to(inputs[0], node.shape), node.detail, words)
        return widen(self.codes[node], node.detail.fmt)

    def _dot(self, node: Node) -> Array:
        operands: list[Any] = []
        for source in node.inputs:
            codes = np.broadcast_to(self.codes[stored(source)], stored(source).shape)
            operands += [codes.T if source.op == Op.TRANSPOSE else codes, by_name(stored(source).fmt)]
        return np.asarray(block_matmul(*operands)[0]).view(np.uint32)


def _encode(bits: Array, cast: Cast, words: Array | None) -> Array:
    """As a store of the vector core converts."""
    fmt = cast.fmt
    if fmt.name in ("fp32", "int32"):
        return bits
    if fmt.kind == "scale":
        return to_e8m0(fp32.value_of(bits))
    if words is not None:
        random = words >> np.uint32(32 - fmt.stochastic_bits)
        return from_fp32(bits, fmt, mode="stochastic", random=random, saturate=cast.saturate)[0]
    return from_fp32(bits, fmt, saturate=cast.saturate)[0]


def _combine(op: LaneOp, a: Array, b: Array) -> Array:
    return lane_ops.apply(op, a, b, np.zeros_like(a))


def _rows(op: LaneOp, *sources: Array) -> Array:
    """Along each row, in the order of `gemel.lang.order`."""
    cols = sources[0].shape[1]
    count = -(-cols // LANES)
    vectors = [_vectors(x, count) for x in sources]
    add = LaneOp.ADD if op == LaneOp.FMA else op
    chains: list[Array] = []
    for j in range(count):
        present = np.arange(LANES) < cols - j * LANES
        first = [x[j] for x in vectors]
        if j < CHAINS:
            value = _combine(LaneOp.MUL, first[0], first[1]) if op == LaneOp.FMA else first[0]
            chains.append(np.where(present, value, np.uint32(IDENTITIES[op])))
            continue
        chain = chains[j % CHAINS]
        taken = lane_ops.apply(op, first[0], first[1], chain) if op == LaneOp.FMA else _combine(op, chain, first[0])
        chains[j % CHAINS] = np.where(present, taken, chain)
    while len(chains) > 1:
        pairs = [_combine(add, *chains[i : i + 2]) for i in range(0, len(chains) - 1, 2)]
        chains = pairs + chains[len(pairs) * 2 :]
    total = chains[0]
    for step in (16, 8, 4, 2, 1):
        total = _combine(add, np.ascontiguousarray(total[:, np.arange(LANES) ^ step]), total)
    return total[:, :1]


def _vectors(x: Array, count: int) -> list[Array]:
    """The vectors of all rows, (rows, 32) each."""
    padded = np.zeros((len(x), count * LANES), np.uint32)
    padded[:, : x.shape[1]] = x
    return [np.ascontiguousarray(padded[:, j * LANES : (j + 1) * LANES]) for j in range(count)]


def _columns(op: LaneOp, x: Array) -> Array:
    """Down each column, from the identity on."""
    total = np.full((1, x.shape[1]), IDENTITIES[op], np.uint32)
    for row in x:
        total = _combine(op, total, np.ascontiguousarray(row)[None])
    return total


def _scan(op: LaneOp, x: Array) -> Array:
    rows, cols = x.shape
    count = -(-cols // LANES)
    vectors = np.zeros((rows, count * LANES), np.uint32)
    vectors[:, :cols] = x
    carry = None
    for j in range(count):
        v = np.ascontiguousarray(vectors[:, j * LANES : (j + 1) * LANES])
        for step in (1, 2, 4, 8, 16):
            moved = np.zeros_like(v)
            moved[:, step:] = v[:, :-step]
            v = _combine(op, moved, v)
        if carry is not None:
            v = _combine(op, v, carry)
        vectors[:, j * LANES : (j + 1) * LANES] = v
        carry = np.repeat(v[:, -1:], LANES, axis=1)
    return vectors[:, :cols]


def _random(node: Node, seed: int) -> Array:
    rows, cols = node.shape
    stride = -(-cols // LANES) * LANES
    index = np.arange(rows, dtype=np.uint64)[:, None] * np.uint64(stride) + np.arange(cols, dtype=np.uint64)
    return element_words(seed, node.detail, index)
