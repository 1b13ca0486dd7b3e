"""What `matmul` does to a result besides scale, bias and conversion: the table of epilogues, and their tiles' code.

Bias and ReLU are steps of the tensor core's drain. Everything else is a kernel of the language on drained FP32 tiles of
32 columns, for the vector core; sums of a column go over all rows, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel import lang
from gemel.kernels.gelu import CURVES
from gemel.lang import Tile, kernel
from gemel.lang.graph import Graph
from gemel.lang.interpreter import interpret
from gemel_golden.formats import Format
from gemel_golden.vector_isa import LANES

__all__ = ["AUX_FORMATS", "DEFAULT", "EPILOGUES", "MASK", "Epilogue", "TileCode", "aux_shape", "epilogue_reference"]

AUX_FORMATS = ("fp32", "bf16", "fp16", "e4m3", "e5m2")
"""What a pre-activation may be kept in."""
MASK = "int32"
"""The format of ReLU's bit mask: bit j mod 32 of word j // 32 of a row is set where column j passes."""


@dataclass(frozen=True, kw_only=True)
class Epilogue:
    """One entry of the table; names and meanings are cuBLASLt's."""

    name: str
    doc: str
    bias: bool = False
    """A bias is added to each column."""
    activation: str | None = None
    """"relu" or "gelu"."""
    aux: str | None = None
    """"out": writes what the activation's gradient depends on; "in": multiplies by the derivative there."""
    gradient_of: str | None = None
    """The bias gradient that it gives: "d", sums of D's columns; "a", sums of A's rows; "b", sums of B's columns."""

    @property
    def vector(self) -> bool:
        """The vector core has a part: the drain alone doesn't do it."""
        return self.activation == "gelu" or self.aux is not None

    @property
    def drained_relu(self) -> bool:
        """The drain applies ReLU."""
        return self.activation == "relu" and not self.vector

    @property
    def aux_formats(self) -> tuple[str, ...]:
        """The formats that aux may have."""
        return () if self.aux is None else (MASK,) if self.activation == "relu" else AUX_FORMATS


_TABLE = (
    Epilogue(name="default", doc="D"),
    Epilogue(name="bias", bias=True, doc="D + bias"),
    Epilogue(name="relu", activation="relu", doc="max(D, 0)"),
    Epilogue(name="relu_bias", activation="relu", bias=True, doc="max(D + bias, 0)"),
    Epilogue(name="relu_aux", activation="relu", aux="out", doc="max(D, 0), and the bit mask of D > 0"),
    Epilogue(name="relu_aux_bias", activation="relu", aux="out", bias=True, doc="the same of D + bias"),
    Epilogue(name="gelu", activation="gelu", doc="GELU(D)"),
    Epilogue(name="gelu_bias", activation="gelu", bias=True, doc="GELU(D + bias)"),
    Epilogue(name="gelu_aux", activation="gelu", aux="out", doc="GELU(D), and D itself"),
    Epilogue(name="gelu_aux_bias", activation="gelu", aux="out", bias=True, doc="the same of D + bias"),
    Epilogue(name="drelu", activation="relu", aux="in", doc="D where the bit mask is set, else 0"),
    Epilogue(name="drelu_bgrad", activation="relu", aux="in", gradient_of="d", doc="the same, and its columns' sums"),
    Epilogue(name="dgelu", activation="gelu", aux="in", doc="D times GELU's derivative at aux"),
    Epilogue(name="dgelu_bgrad", activation="gelu", aux="in", gradient_of="d", doc="the same, and its columns' sums"),
    Epilogue(name="bgrada", gradient_of="a", doc="D, and the sums of A's rows"),
    Epilogue(name="bgradb", gradient_of="b", doc="D, and the sums of B's columns"),
)

EPILOGUES: Mapping[str, Epilogue] = {entry.name: entry for entry in _TABLE}
DEFAULT = EPILOGUES["default"]


def _bits(x: Tile) -> Tile:
    """1 << column."""
    columns = lang.index(x, 1)
    return ((columns & 0) + 1) << columns


@kernel
def _forward(x: Tile, *, activation: str, aux: str | None, to: str, saturate: bool) -> Any:
    """The activation of D, and what its gradient depends on."""
    y = lang.maximum(x, 0.0) if activation == "relu" else CURVES[activation][0](x)
    y = y.astype(to, saturate=saturate)
    if aux is None:
        return y
    return y, lang.where(x > 0.0, _bits(x), 0).sum() if aux == MASK else x.astype(aux)


@kernel
def _gradient(x: Tile, aux: Tile, *, activation: str, sums: bool, to: str, saturate: bool) -> Any:
    """D times the activation's derivative, and the sum of each column before it is rounded."""
    if activation == "relu":
        passes = (aux << (LANES - 1 - lang.index(x, 1))) >> (LANES - 1)
        grad = (x.bits() & passes).from_bits()
    else:
        grad = x * CURVES[activation][1](aux)
    y = grad.astype(to, saturate=saturate)
    return (y, grad.sum(0)) if sums else y


@dataclass(frozen=True, kw_only=True)
class TileCode:
    """A vector epilogue with everything that shapes its code. `approximate`: of GELU."""

    epilogue: Epilogue
    approximate: str
    out: Format
    saturate: bool
    aux: Format | None

    def graph(self, rows: int = LANES) -> Graph:
        """The operations on a tile of so many rows, FP32, and its aux: D, then aux or the columns' sums."""
        entry, x = self.epilogue, ((rows, LANES), "fp32")
        activation = self.approximate if entry.activation == "gelu" else "relu"
        options: dict[str, Any] = {"activation": activation, "to": self.out.name, "saturate": self.saturate}
        name = None if self.aux is None else self.aux.name
        if entry.aux == "in":
            aux = ((rows, 1 if name == MASK else LANES), name)
            return _gradient.graph(x, aux, sums=entry.gradient_of == "d", **options)
        return _forward.graph(x, aux=name, **options)


def aux_shape(epilogue: Epilogue, m: int, n: int) -> tuple[int, int]:
    """The shape of aux for D (m, n)."""
    return (m, -(-n // LANES)) if epilogue.activation == "relu" else (m, n)


def epilogue_reference(
    code: TileCode, x: NDArray[np.uint32], aux: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.uint32] | None]:
    """A vector epilogue in NumPy: of D's FP32 bits (M, N), and the codes of an aux that it reads.

    Returns the codes of D, those of an aux that it writes, and the FP32 bits (N,) of the columns' sums.
    """
    m, n = x.shape
    entry = code.epilogue
    graph = code.graph(m)
    groups = max(1, -(-n // LANES))
    whole = np.zeros((m, groups * LANES), np.uint32)
    whole[:, :n] = x
    found = []
    for start in range(0, groups * LANES, LANES):
        tensors: dict[int, NDArray[Any]] = {0: np.ascontiguousarray(whole[:, start : start + LANES])}
        if aux is not None:
            width = 1 if entry.activation == "relu" else LANES
            piece = aux[:, start // LANES * width :][:, :width]
            tensors[1] = np.pad(piece, ((0, 0), (0, width - piece.shape[1])))
        found.append(interpret(graph, tensors, {}))
    d, *others = (np.concatenate(same, axis=1) for same in zip(*found, strict=True))
    d, other = d[:, :n].astype(code.out.storage), others[0] if others else None
    if entry.aux == "out":
        shape = aux_shape(entry, m, n)
        assert other is not None, "an epilogue that writes aux has a second result"
        return d, other[:, : shape[1]], None
    return d, None, None if other is None else other[0, :n]
