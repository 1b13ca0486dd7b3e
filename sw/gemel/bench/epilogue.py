"""What a benchmark's product takes beside its operands for an epilogue, and whether all that it wrote is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.device import Device
from gemel.kernels.matmul_epilogue import AUX_FORMATS, EPILOGUES, aux_shape
from gemel.kernels.matmul_reference import fused_reference
from gemel.kernels.matmul_spec import sums_format
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.formats import Format

__all__ = ["EpilogueOperands"]


@dataclass(frozen=True, kw_only=True)
class EpilogueOperands:
    """Random operands of an epilogue on a device, and the tensors that it writes."""

    name: str
    approximate: str
    bias: NDArray[np.float32] | None
    aux: Tensor | None
    bias_gradient: Tensor | None

    @classmethod
    def of(
        cls, device: Device, name: str, approximate: str, sizes: tuple[int, int], formats: tuple[Format, ...], seed: int
    ) -> EpilogueOperands:
        """For D of `sizes` and A, B and D of `formats`; a pre-activation has D's format where it can, else BF16.

        Raises ValueError for an unknown name.
        """
        if name not in EPILOGUES:
            raise ValueError(f"no epilogue {name!r}; there are {', '.join(EPILOGUES)}")
        entry, rng, (m, n), (a, b, out) = EPILOGUES[name], np.random.default_rng(seed + 2), sizes, formats
        aux = gradient = None
        if entry.aux is not None:
            kept = out.name if out.name in AUX_FORMATS else "bf16"
            fmt = kept if kept in entry.aux_formats else entry.aux_formats[0]
            values = rng.standard_normal(aux_shape(entry, m, n))
            aux = tensor(device, values if fmt == kept else rng.integers(-(1 << 31), 1 << 31, values.shape), fmt)
        if entry.gradient_of is not None:
            sums = {"d": (n, "fp32"), "a": (m, sums_format(a, False)), "b": (n, sums_format(b, False))}
            count, fmt = sums[entry.gradient_of]
            gradient = empty(device, (count,), fmt)
        bias = rng.standard_normal(n).astype(np.float32) if entry.bias else None
        return cls(name=name, approximate=approximate, bias=bias, aux=aux, bias_gradient=gradient)

    @property
    def options(self) -> dict[str, Any]:
        """As `matmul` takes them."""
        return {
            "epilogue": self.name,
            "approximate": self.approximate,
            "bias": self.bias,
            "aux": self.aux,
            "bias_gradient": self.bias_gradient,
        }

    def exact(
        self,
        d: Tensor,
        read: NDArray[Any] | None,
        a: tuple[NDArray[Any], Format],
        b: tuple[NDArray[Any], Format],
        **options: Any,
    ) -> bool:
        """Whether D, aux and the bias gradient are the reference's; read: the codes of aux before the product.

        a, b: codes and formats; options: block scales as `fused_reference` takes them.
        """
        reads = EPILOGUES[self.name].aux == "in"
        options |= {"aux": read if reads else None, "aux_fmt": None if self.aux is None else self.aux.format}
        options |= {"bias": self.bias, "epilogue": self.name, "approximate": self.approximate}
        codes, aux, gradient = fused_reference(*a, *b, d.format, **options)
        wanted = [(d, codes), (self.aux, aux), (self.bias_gradient, gradient)]
        return all(x is None or y is None or np.array_equal(x.codes(), y) for x, y in wanted)
