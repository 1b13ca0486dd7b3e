"""Kernels of the vector core, measured in cycles: operands in L1 or in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.device import Device
from gemel.lang.measure import measured
from gemel.tensors import Tensor, tensor
from gemel_golden.vector_isa import LANES

__all__ = ["VectorFigures", "Work", "run"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A library function and its operands. The function takes tensors, or arrays for the interpreter."""

    function: Callable[..., Any]
    operands: tuple[NDArray[Any] | float, ...]
    elements: int


@dataclass(frozen=True, kw_only=True)
class VectorFigures:
    """What a benchmark tells; `cycles` and what follows from them are ``None`` on a chip without a clock.

    `utilisation` and `mmac_per_second` are the tensor core's, which does nothing here. `bandwidth_utilisation` is the
    share of the memory's bytes a cycle, of reading or writing, whichever is more; ``None`` for operands in L1.
    """

    cycles: int | None
    elements: int
    cycles_per_vector: float | None
    utilisation: float
    bandwidth_utilisation: float | None
    seconds: float
    mmac_per_second: float
    exact: bool

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


def run(device: Device, work: Work, *, in_l1: bool) -> VectorFigures:
    """Run on a device and compare with the interpreter, bit for bit.

    In L1: operands are loaded by a launch of their own and results stored by another; the cycles are those from the
    first fetched instruction to the last byte in L1. From memory: from the doorbell to the interrupt.
    """
    operands = [tensor(device, x) if isinstance(x, np.ndarray) else x for x in work.operands]
    with measured(resident=in_l1) as results:
        found = _results(work.function(*operands))
    expected = _results(work.function(*work.operands))
    exact = all(np.array_equal(_bits(a.numpy()), _bits(b)) for a, b in zip(found, expected, strict=True))
    cycles = sum(result.cycles if in_l1 else result.total_cycles for result in results) or None
    moved = max(_size([x for x in operands if isinstance(x, Tensor)]), _size(found))
    return VectorFigures(
        cycles=cycles,
        elements=work.elements,
        cycles_per_vector=cycles * LANES / work.elements if cycles else None,
        utilisation=0.0,
        bandwidth_utilisation=moved / (cycles * device.bandwidth) if cycles and not in_l1 else None,
        seconds=sum(result.seconds for result in results),
        mmac_per_second=0.0,
        exact=exact,
    )


def _results(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def _bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)


def _size(tensors: list[Tensor]) -> int:
    return sum(x.size * x.format.bits // 8 for x in tensors)
