"""`@gemel.kernel`: a function on tiles that runs on a device, in plain NumPy, or is looked at as a program."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.dtypes import dtype, from_codes, to_codes
from gemel.kernels.split import cores_for
from gemel.lang import measure
from gemel.lang.compiled import Compiled, Tensors
from gemel.lang.compiler import compile_graph, worth_overlapping
from gemel.lang.errors import KernelError
from gemel.lang.estimate import estimate
from gemel.lang.graph import Graph, Kind, Op
from gemel.lang.halves import Halves, halves_of
from gemel.lang.interpreter import interpret
from gemel.lang.jobs import Job, in_halves, strides_of
from gemel.lang.sharing import Piece, Way, part_of, pieces_of, ways_of
from gemel.lang.tiles import Tile
from gemel.lang.trace import Trace
from gemel.tensors import Tensor, empty
from gemel_golden import fp32
from gemel_golden.config import ChipConfig, config
from gemel_golden.formats import Format, by_name

__all__ = ["Kernel", "kernel"]

Specs = tuple[Any, ...]
_CODE: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()
"""By device, the vector code of programs that it holds already."""


@dataclass(frozen=True)
class _TensorSpec:
    """A tensor as a kernel is compiled for it; a vector is a row."""

    shape: tuple[int, ...]
    fmt: str

    @property
    def matrix(self) -> tuple[int, int]:
        return (1, self.shape[0]) if len(self.shape) == 1 else (self.shape[0], self.shape[1])


@dataclass(frozen=True)
class _NumberSpec:
    """A number that is given at the call."""

    kind: Kind


@dataclass(frozen=True)
class _FixedSpec:
    """Anything else: a part of the program."""

    value: Any


def kernel(function: Callable[..., Any]) -> Kernel:
    """Make a kernel of a function on tiles.

    Its positional parameters take tensors, which it sees as tiles, and numbers, which are given at each call.
    Keyword-only parameters, and positional ones that get ``None``, are parts of the program: Python code can branch on
    them.
    """
    return Kernel(function)


class Kernel:
    """A function on tiles; see `kernel`. Programs are kept by chip, shapes, formats and strides."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = inspect.signature(function)
        for name, use in (("out", "the result's tensors"), ("cores", "the cores that share it")):
            if name in self.signature.parameters:
                raise KernelError(f"{function.__name__} has a parameter `{name}`, which calls use for {use}")
        self._graphs: dict[Specs, tuple[Graph, bool]] = {}
        self._ways: dict[tuple[Specs, str], list[Way]] = {}
        self._halves: dict[Specs, Halves | None] = {}
        self._refused: dict[Any, str] = {}
        self._compiled: dict[tuple[Any, ...], Compiled] = {}

    def __repr__(self) -> str:
        return f"<kernel {self.function.__name__}>"

    def __call__(
        self,
        *args: Any,
        out: Tensor | tuple[Tensor, ...] | None = None,
        cores: int | None = None,
        **options: Any,
    ) -> Any:
        """Run on the device that the tensors live on; a tensor, or a tuple of them, in the order of the return.

        out: tensors to write to instead of new ones; their rows must be contiguous. cores: share the rows (or the
        columns, of kernels without anything along a row) by so many of the chip's cores, the same bytes for any number;
        default: all. Raises KernelError for what can't be compiled and `DeviceFault` when the chip stops.
        """
        values = self._bind(args, options)
        specs = tuple(_spec(value) for value in values)
        graph, single = self._trace(specs)
        tensors = [values[position] for position in graph.inputs]
        if any(not isinstance(x, Tensor) for x in tensors):
            raise TypeError(f"{self.function.__name__} runs on tensors; for arrays there is .interpret")
        device = tensors[0].device
        if any(x.device is not device for x in tensors):
            raise ValueError(f"{self.function.__name__}: the tensors live on different devices")
        available = cores_for(device, cores)
        results = self._results(graph, specs, device, out)
        if all(x.size for x in (*tensors, *results)):
            whole = Job(graph, dict(zip(graph.inputs, tensors, strict=True)), results)
            for job, compiled, piece in self._launches(whole, specs, device.config, len(available)):
                places = [*job.inputs, *job.outputs]
                numbers = [_bits(values[position]) for position in job.graph.scalars]
                arguments = [
                    [
                        _code(device, compiled),
                        *(place.address + (place.offset(piece.way, start) if piece else 0) for place in places),
                        *numbers,
                        *(start * unit for unit in compiled.row_units),
                    ]
                    for start in (piece.starts if piece else (0,))
                ]
                name = self.function.__name__.lstrip("_")
                measure.launch(device, compiled, arguments, name, available[: len(arguments)])
        return results[0] if single else tuple(results)

    def _launches(
        self, whole: Job, specs: Specs, chip: ChipConfig, cores: int
    ) -> Sequence[tuple[Job, Compiled, Piece | None]]:
        """The programs to launch, each for the cores of a piece, or one for all rows."""
        if cores > 1 and not measure.resident():
            if launches := self._shared(whole, specs, chip, cores):
                return launches
            if specs not in self._halves:
                self._halves[specs] = halves_of(whole.graph)
            if (halves := self._halves[specs]) is not None:
                shared = [self._shared(job, specs, chip, cores) for job in in_halves(whole, halves)]
                if shared and all(shared):
                    return [launch for launches in shared for launch in launches]
        program = self._program(whole.graph, specs, whole.strides, chip, resident=measure.resident())
        return [(whole, program, None)]

    def _shared(
        self, job: Job, specs: Specs, chip: ChipConfig, cores: int
    ) -> Sequence[tuple[Job, Compiled, Piece | None]]:
        """The launches of several cores; none where one core does it all."""
        key = specs, job.name
        if key not in self._ways:
            self._ways[key] = ways_of(job.graph)
        pieces = pieces_of(self._ways[key], job.inputs, job.outputs, cores)
        try:
            strides = job.strides
            return [
                (job, self._program(job.graph, specs, strides, chip, name=job.name, piece=piece), piece)
                for piece in pieces
            ]
        except KernelError:
            # Counting rows from the launch takes arguments of VECTOR that this kernel has no room for.
            return []

    def interpret(self, *args: Any, **options: Any) -> Any:
        """The same on NumPy arrays (or tensors) by the plain interpreter: arrays of the same bits as on a device."""
        values = self._bind(args, options)
        specs = tuple(_spec(value) for value in values)
        graph, single = self._trace(specs)
        codes = {p: _codes(values[p]).reshape(specs[p].matrix) for p in graph.inputs}
        found = interpret(graph, codes, {p: _bits(values[p]) for p in graph.scalars})
        vectors = self._vectors(specs)
        results = [
            from_codes(code.reshape(-1) if vectors else code, by_name(node.fmt))
            for code, node in zip(found, graph.outputs, strict=True)
        ]
        return results[0] if single else tuple(results)

    def compile(self, chip: str | ChipConfig, *args: Any, **options: Any) -> Compiled:
        """The program for a chip and arguments: tensors, arrays, `(shape, dtype)` pairs in their place, numbers."""
        values = self._bind(args, options)
        specs = tuple(_spec(value) for value in values)
        graph, _ = self._trace(specs)
        strides = {p: _strides(values[p]) for p in graph.inputs}
        outputs = tuple(_dense(node.shape, by_name(node.fmt)) for node in graph.outputs)
        return self._program(graph, specs, Tensors(strides, outputs), config(chip))

    def graph(self, *args: Any, **options: Any) -> Graph:
        """The operations that it is traced to for these arguments; see `compile`."""
        return self._trace(tuple(_spec(value) for value in self._bind(args, options)))[0]

    def cycles(self, chip: str | ChipConfig, *args: Any, **options: Any) -> int:
        """About how many cycles a chip takes for these arguments; see `compile`."""
        return estimate(self.compile(chip, *args, **options), config(chip))

    def _bind(self, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
        bound = self.signature.bind(*args, **options)
        bound.apply_defaults()
        values = []
        for name, value in bound.arguments.items():
            fixed = self.signature.parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
            values.append(_FixedSpec(value) if fixed else value)
        return values

    def _vectors(self, specs: Specs) -> bool:
        """Whether all tensors are vectors; the results are vectors then."""
        return all(len(spec.shape) == 1 for spec in specs if isinstance(spec, _TensorSpec))

    def _trace(self, specs: Specs) -> tuple[Graph, bool]:
        if specs not in self._graphs:
            self._graphs[specs] = self._traced(specs)
        return self._graphs[specs]

    def _traced(self, specs: Specs) -> tuple[Graph, bool]:
        trace, inputs, scalars, arguments = Trace(), {}, {}, {}
        for position, (name, spec) in enumerate(zip(self.signature.parameters, specs, strict=True)):
            if isinstance(spec, _TensorSpec):
                fmt = by_name(spec.fmt)
                kind = Kind.INT if fmt.name == "int32" else Kind.FLOAT
                inputs[position] = trace.node(Op.INPUT, (), spec.matrix, kind, (position, fmt))
                arguments[name] = Tile(inputs[position], trace)
            elif isinstance(spec, _NumberSpec):
                scalars[position] = trace.node(Op.SCALAR, (), (1, 1), spec.kind, position)
                arguments[name] = Tile(scalars[position], trace)
            else:
                arguments[name] = spec.value
        name = self.function.__name__
        if not inputs:
            raise KernelError(f"{name} takes at least one tensor")
        bound = inspect.BoundArguments(self.signature, OrderedDict(arguments))
        returned = self.function(*bound.args, **bound.kwargs)
        single = not isinstance(returned, tuple)
        outputs = (returned,) if single else returned
        for value in outputs:
            if not isinstance(value, Tile):
                raise KernelError(f"{name} returns {type(value).__name__}; a kernel returns tiles")
            if value.kind == Kind.BOOL:
                raise KernelError(
                    f"{name} returns truth values; make numbers of them with where(...)", value.node.where
                )
            if value.node.op == Op.TRANSPOSE:
                raise KernelError(f"{name} returns a transposed tile; .T is for operands of dot", value.node.where)
        return Graph(name, inputs, scalars, [value.node for value in outputs]), single

    def _results(
        self, graph: Graph, specs: Specs, device: Any, out: Tensor | tuple[Tensor, ...] | None
    ) -> list[Tensor]:
        vectors = self._vectors(specs)
        shapes = [node.shape[1:] if vectors else node.shape for node in graph.outputs]
        if out is None:
            return [empty(device, shape, node.fmt) for shape, node in zip(shapes, graph.outputs, strict=True)]
        given = [out] if isinstance(out, Tensor) else list(out)
        if len(given) != len(shapes):
            raise ValueError(f"{graph.name} gives {len(shapes)} tensors; out has {len(given)}")
        for x, shape, node in zip(given, shapes, graph.outputs, strict=True):
            if x.shape != shape or x.dtype != node.fmt:
                raise ValueError(f"out is {x.dtype} {x.shape}; {graph.name} gives {node.fmt} {shape}")
        return given

    def _program(
        self,
        graph: Graph,
        specs: Specs,
        strides: Tensors,
        chip: ChipConfig,
        *,
        name: str = "whole",
        resident: bool = False,
        piece: Piece | None = None,
    ) -> Compiled:
        """The program of all rows, or of one core's piece, compiled with the care that all pieces are worth."""
        shared = piece is not None and len(piece.starts) > 1
        part = (piece.way.axis, piece.size, shared) if piece else None
        key = (chip, specs, name, tuple(strides.inputs.items()), strides.outputs, resident, part)
        if key in self._refused:
            raise KernelError(self._refused[key])
        if key not in self._compiled:
            self._check(graph, strides)
            try:
                self._compiled[key] = compile_graph(
                    part_of(graph, piece.way, piece.size) if piece else graph,
                    strides,
                    chip,
                    resident=resident,
                    shared=piece is not None and piece.way.axis == 0,
                    overlap=worth_overlapping(graph) if shared else None,
                )
            except KernelError as refusal:
                if piece:  # which every call would try again before it leaves the kernel to one core
                    self._refused[key] = str(refusal)
                raise
        return self._compiled[key]

    def _check(self, graph: Graph, strides: Tensors) -> None:
        """Rows must be contiguous, but those of a right operand of dot."""
        names = dict(enumerate(self.signature.parameters))
        right = {node.inputs[1] for node in graph.nodes if node.op == Op.DOT}
        right |= {node.inputs[0] for node in right if node.op == Op.TRANSPOSE}
        found = [
            (names.get(p, ""), graph.inputs[p], strides.inputs[p]) for p in graph.inputs if graph.inputs[p] not in right
        ]
        found += [("out", node, pair) for node, pair in zip(graph.outputs, strides.outputs, strict=True)]
        for name, node, (_, step) in found:
            if node.shape[1] > 1 and step * 8 not in (by_name(node.fmt).bits, 0):
                raise ValueError(f"{graph.name}: {name} has elements {step} bytes apart; its rows must be contiguous")


def _spec(value: Any) -> Any:
    """How a value takes part: a tensor, a number at the call, or a part of the program."""
    if isinstance(value, Tensor):
        return _TensorSpec(value.shape, value.dtype)
    if isinstance(value, _FixedSpec):
        return value
    if value is None:
        return _FixedSpec(None)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple):
        return _TensorSpec(value[0], dtype(value[1]).name)
    if isinstance(value, np.ndarray):
        if not 1 <= value.ndim <= 2:
            raise ValueError(f"a kernel takes arrays of one or two dimensions, not {value.shape}")
        return _TensorSpec(value.shape, dtype(value.dtype).name)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"a kernel takes tensors and numbers, not {value!r}; name other parameters behind a *")
    return _NumberSpec(Kind.INT if isinstance(value, int | np.integer) else Kind.FLOAT)


def _bits(value: Any) -> int:
    if isinstance(value, int | np.integer):
        return int(value) & 0xFFFF_FFFF
    return int(fp32.bits_of(np.float64(value)))


def _codes(value: Any) -> NDArray[Any]:
    return value.codes() if isinstance(value, Tensor) else to_codes(value)[0]


def _dense(shape: tuple[int, int], fmt: Format) -> tuple[int, int]:
    return -(-shape[1] * fmt.bits // 8), fmt.bits // 8


def _strides(value: Any) -> tuple[int, int]:
    """Strides of a tensor as a matrix; dense ones for what isn't a tensor."""
    if isinstance(value, Tensor):
        return strides_of(value)
    spec = _spec(value)
    return _dense(spec.matrix, by_name(spec.fmt))


def _code(device: Any, compiled: Compiled) -> Any:
    """The buffer of a program's vector code on a device."""
    held = _CODE.setdefault(device, {})
    if id(compiled) not in held:
        held[id(compiled)] = (device.upload(compiled.code), compiled)
    return held[id(compiled)][0]
