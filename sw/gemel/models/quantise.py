"""Post-training quantisation of a multi-layer perceptron: all a layer needs is fused into its matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.dtypes import dtype
from gemel.models.mlp import Dense, forward
from gemel_golden.formats import Format
from gemel_golden.rounding import encode

__all__ = ["QuantisedDense", "quantise"]


@dataclass(frozen=True, kw_only=True)
class QuantisedDense:
    """activation(scale * (x @ weight.T) + bias) rounded to `out`, one matrix product with everything fused.

    weight: codes (outputs, inputs) of `fmt`; scale, bias: FP32 (outputs,).
    """

    weight: NDArray[np.uint8]
    fmt: Format
    out: Format
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    relu: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates per input row."""
        return self.weight.size


def quantise(
    layers: Sequence[Dense], calibration: NDArray[np.float32], fmt: str | Format, *, input_scale: float
) -> list[QuantisedDense]:
    """Layers in `fmt` ("int8" or "e4m3"), weights scaled per output, activations per layer; logits leave as FP32.

    Parameters: calibration, inputs (batch, inputs) that show how large activations grow; input_scale, the value of a
    1 in the codes that the first layer is fed with.
    """
    fmt = dtype(fmt)
    largest = fmt.max_finite
    scale = input_scale
    quantised = []
    for layer, activation in zip(layers, forward(layers, calibration), strict=True):
        per_output = np.abs(layer.weight).max(axis=1).astype(np.float64) / largest
        weight, _ = encode(layer.weight / per_output[:, None], fmt, saturate=True)
        last = not layer.relu
        out_scale = 1.0 if last else float(activation.max()) / largest
        quantised.append(
            QuantisedDense(
                weight=weight,
                fmt=fmt,
                out=dtype("fp32") if last else fmt,
                scale=(per_output * scale / out_scale).astype(np.float32),
                bias=(layer.bias / out_scale).astype(np.float32),
                relu=layer.relu,
            )
        )
        scale = out_scale
    return quantised
