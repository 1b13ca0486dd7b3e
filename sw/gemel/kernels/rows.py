"""How the library's kernels get their operands: tensors, or arrays for the interpreter, as matrices of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.dtypes import dtype, from_codes
from gemel.lang import Kernel
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.formats import Format

__all__ = [
    "Values",
    "along",
    "backward",
    "call",
    "cut",
    "elementwise",
    "filled",
    "forward",
    "like",
    "name_of",
    "rows",
    "rowwise",
    "same_shape",
    "shaped",
]

Values = Tensor | NDArray[Any]
"""What a kernel takes: tensors of one device, which it runs on, or arrays, which the interpreter computes with. The
results are tensors or arrays alike, with the same bits; arrays of formats that NumPy lacks come out as float32."""

WIDTH = 128
"""Elements of a row that dense elementwise operands are cut into."""


def name_of(x: Values) -> str:
    """The format's name."""
    return x.dtype if isinstance(x, Tensor) else dtype(x.dtype).name


def like(x: Values, fmt: str | Format | None) -> str:
    """The name of a result's format: `fmt`, or that of `x` where it is ``None``."""
    return name_of(x) if fmt is None else dtype(fmt).name


def shaped(x: Values, *shape: int) -> Any:
    """The same elements in another shape."""
    return x.reshape(*shape)


def rows(x: Values) -> Any:
    """An operand as a matrix: its last dimension along the rows, the others one below the other."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape(1, x.shape[0])
    return x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def along(name: str, x: Values, **vectors: Values | None) -> list[Any]:
    """Vectors along the last dimension of x as single rows, ``None`` as it is. Raises ValueError where one doesn't fit.

    name: the kernel's, for the message.
    """
    for what, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[-1:]:
            raise ValueError(f"{name}: {what} has shape {vector.shape}; rows of {x.shape[-1]} need {x.shape[-1:]}")
    return [None if vector is None else rows(vector) for vector in vectors.values()]


def same_shape(name: str, **operands: Values) -> None:
    """Raises ValueError unless all operands have the shape of the first."""
    (first, x), *others = operands.items()
    for what, other in others:
        if other.shape != x.shape:
            raise ValueError(f"{name}: {what} has shape {other.shape}, {first} has {x.shape}; they must be equal")


def call(
    kernel: Kernel,
    *args: Any,
    out: Tensor | tuple[Tensor, ...] | None = None,
    cores: int | None = None,
    **options: Any,
) -> Any:
    """Run a kernel on tensors, shared by so many cores or all, or interpret it on arrays; both are matrices."""
    kinds = {type(value) for value in args if isinstance(value, Tensor | np.ndarray)}
    if len(kinds) > 1:
        raise TypeError(f"{kernel.function.__name__} takes tensors or arrays, not some of both")
    if Tensor in kinds:
        return kernel(*args, out=out, cores=cores, **options)
    if out is not None:
        raise TypeError("out takes tensors; results for arrays are new arrays")
    if cores is not None:
        raise TypeError("cores share work on tensors; arrays are computed with in NumPy")
    return kernel.interpret(*args, **options)


def rowwise(kernel: Kernel, x: Values, *others: Any, out: Tensor | None = None, **options: Any) -> Any:
    """Run a kernel on rows along the last dimension; one result, in x's shape.

    others: operands in x's shape, vectors as matrices of one row or one column, numbers, ``None``.
    """
    operands = [rows(value) if isinstance(value, Tensor | np.ndarray) else value for value in (x, *others)]
    found = call(kernel, *operands, out=None if out is None else rows(out), **options)
    return found.reshape(*x.shape) if out is None else out


def filled(x: Values, shape: tuple[int, ...], value: float, fmt: str = "fp32") -> Any:
    """A tensor on x's device, or an array where x is one, full of a number."""
    array = np.full(shape, value, from_codes(np.zeros(0, dtype(fmt).storage), dtype(fmt)).dtype)
    return tensor(x.device, array, fmt) if isinstance(x, Tensor) else array


def elementwise(
    kernel: Kernel,
    *args: Any,
    formats: Sequence[str],
    out: Tensor | tuple[Tensor, ...] | None = None,
    **options: Any,
) -> Any:
    """Run a kernel that treats every element by itself; results in the operands' shape, one for each of `formats`.

    args: tensors or arrays of one shape, those of shape (1, 1) for all elements, numbers, ``None``. Dense operands are
    cut into rows of 128 elements, so that any shape fills the lanes; elements beyond the last whole row run as a row of
    their own, where the kernel's keyword `part`, if it has one, is 1 instead of 0.
    """
    x = args[0]
    operands = [value for value in args if isinstance(value, Tensor | np.ndarray) and not _single(value)]
    operands = operands or [x]
    outputs: list[Any] = []
    if isinstance(x, Tensor):
        outputs = [empty(x.device, x.shape, fmt) for fmt in formats] if out is None else _given(out, x, formats)
    elif out is not None:
        raise TypeError("out takes tensors; results for arrays are new arrays")
    found: list[list[Any]] = []
    for number, pieces in enumerate(cut([*operands, *outputs])):
        taken = iter(pieces[: len(operands)])
        values = [next(taken) if any(value is x for x in operands) else value for value in args]
        part = {"part": number} if "part" in kernel.signature.parameters else {}
        target = tuple(pieces[len(operands) :]) or None
        results = call(kernel, *values, out=target, **options, **part)
        found.append(list(results) if isinstance(results, tuple) else [results])
    if not outputs:
        pieces = zip(*found, strict=True)
        outputs = [np.concatenate([piece.reshape(-1) for piece in same]).reshape(x.shape) for same in pieces]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def forward(kernel: Kernel, x: Values, *numbers: float, dtype: str | None, out: Tensor | None, **options: Any) -> Any:
    """`elementwise` of one operand, with one result in x's format or `dtype`."""
    to = like(x, dtype)
    return elementwise(kernel, x, *numbers, formats=[to], out=out, to=to, **options)


def backward(
    kernel: Kernel,
    grad: Values,
    x: Values,
    *numbers: float,
    dtype: str | None,
    out: Tensor | None,
    **options: Any,
) -> Any:
    """`elementwise` of a gradient and what it depends on, with one result in grad's format or `dtype`."""
    same_shape(kernel.function.__name__.strip("_"), grad=grad, x=x)
    to = like(grad, dtype)
    return elementwise(kernel, grad, x, *numbers, formats=[to], out=out, to=to, **options)


def _single(value: Values) -> bool:
    return value.shape == (1, 1)


def _given(out: Tensor | tuple[Tensor, ...], x: Tensor, formats: Sequence[str]) -> list[Tensor]:
    given = [out] if isinstance(out, Tensor) else list(out)
    found = [(tensor.dtype, tensor.shape) for tensor in given]
    wanted = [(fmt, x.shape) for fmt in formats]
    if found != wanted:
        raise ValueError(f"out is {found}; the results are {wanted}")
    return given


def _dense(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return True
    if x.format.bits < 8 or not x.size:
        return False
    sizes = [int(np.prod(x.shape[axis + 1 :])) * x.format.bits // 8 for axis in range(x.ndim)]
    return list(x.strides) == sizes


def cut(operands: list[Any]) -> list[list[Any]]:
    """The operands as matrices: whole rows of 128, then the rest; as they are where one of them isn't dense."""
    size = operands[0].size
    if not size or not all(_dense(x) for x in operands):
        return [[rows(x) for x in operands]]
    whole = size // WIDTH * WIDTH
    flat = [x.reshape(size) for x in operands]
    found = [[x[:whole].reshape(whole // WIDTH, WIDTH) for x in flat]] if whole else []
    return found + ([[x[whole:].reshape(1, size - whole) for x in flat]] if size > whole else [])
