"""Convolution of images by the tensor core, on pixels that LOAD brings as columns of a matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gemel.dtypes import dtype as format_of
from gemel.dtypes import from_codes, to_codes
from gemel.kernels.conv_program import conv_program
from gemel.kernels.conv_spec import ConvSpec, share_convolution
from gemel.kernels.copy import copy
from gemel.kernels.matmul_reference import matmul_reference
from gemel.kernels.rows import Values
from gemel.kernels.split import cores_for
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format
from gemel_golden.isa import OPERAND_FORMATS, OUTPUT_FORMATS

__all__ = ["REFERENCES", "Pair", "Window", "check_operands", "columns_of", "conv2d", "convolve", "reference"]

Pair = int | tuple[int, int]
STEP_LIMIT, SIZE_LIMIT = 31, 8191
"""The greatest stride, and the greatest height and width, that IM2COL's fields hold."""


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class Window(NamedTuple):
    """How a kernel moves over an image, along height and width."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @classmethod
    def of(cls, stride: Pair, padding: Pair, dilation: Pair) -> Window:
        """From numbers or pairs. Raises ValueError for those that don't exist."""
        window = cls(_pair(stride), _pair(padding), _pair(dilation))
        if min(window.padding) < 0 or min(*window.stride, *window.dilation) < 1 or max(window.stride) > STEP_LIMIT:
            raise ValueError(
                f"conv2d: {window} has a stride beyond 1..{STEP_LIMIT}, a dilation below 1 or a padding below 0"
            )
        return window

    def out_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the result. Raises ValueError where the kernel doesn't fit."""
        reach = [dilation * (k - 1) + 1 for dilation, k in zip(self.dilation, kernel, strict=True)]
        room = [n + 2 * padding - r for n, padding, r in zip(size, self.padding, reach, strict=True)]
        if min(room) < 0:
            raise ValueError(
                f"conv2d: a kernel that reaches over {reach} doesn't fit images of {size}, padded by {self.padding}"
            )
        return room[0] // self.stride[0] + 1, room[1] // self.stride[1] + 1


def conv2d(
    x: Values,
    weight: Values,
    bias: Values | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    activation: str | None = None,
    scale: float | None = None,
    out_dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """activation(scale * sum + bias) for images x (N, H, W, C) and kernels weight (O, KH, KW, C): (N, OH, OW, O).

    PyTorch's conv2d in its channels-last memory, groups = 1. x, weight: bf16, fp16, e4m3, e5m2 or int8, of one width;
    bias: (O,) fp32; stride, padding (of zeros), dilation: numbers, or pairs for height and width; activation: ``None``
    or "relu"; out_dtype: default int32 for integers, else fp32, rounded as `matmul`'s. cores: share images or output
    channels by so many of the chip's cores, the same bytes for any number; default: all.

    The sum is the block-exact dot product of the numerics contract over the taps in order, each filled up with zeros to
    32 bytes of channels; taps of one line are one run of elements where it has no padding and no dilation. Raises
    ValueError for shapes and formats that don't fit.
    """
    if activation not in (None, "relu"):
        raise ValueError(f"activation {activation!r} isn't None or 'relu'")
    integer = all(format_of(v.dtype).is_int for v in (x, weight))
    fmt = format_of(out_dtype) if out_dtype is not None else format_of("int32" if integer else "fp32")
    check_operands(x, weight, fmt)
    if bias is not None and (bias.shape != weight.shape[:1] or format_of(bias.dtype).name != "fp32"):
        raise ValueError(f"conv2d: bias is {bias.dtype} {bias.shape}; {weight.shape[0]} output channels need fp32")
    window = Window.of(stride, padding, dilation)
    size = window.out_size((x.shape[1], x.shape[2]), (weight.shape[1], weight.shape[2]))
    options = {"scale": scale, "relu": activation == "relu"}
    if not isinstance(x, Tensor) or not isinstance(weight, Tensor):
        return reference(x, weight, bias, window, size, fmt, **options)
    shape = (x.shape[0], *size, weight.shape[0])
    if out is not None and (out.shape != shape or out.format is not fmt or out.strides[3] != fmt.bits // 8):
        raise ValueError(f"conv2d: out is {out.dtype} {out.shape}; the result is {fmt} {shape}, channels side by side")
    found = empty(x.device, shape, fmt) if out is None else out
    vector = tensor(x.device, bias, "fp32") if isinstance(bias, np.ndarray) else bias
    convolve(x, weight, window, found, bias=vector, cores=cores, **options)
    return found


def convolve(
    x: Tensor,
    weight: Tensor,
    window: Window,
    found: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float | None = None,
    relu: bool = False,
    cores: int | None = None,
) -> None:
    """Fill `found`, whose size may be another than the window's: zeros are all around the images."""
    available = cores_for(x.device, cores)
    if not found.size:
        return
    x, weight = _dense(x, cores), _dense(weight, cores)
    _, height, width, channels = x.shape
    spec = ConvSpec(
        images=x.shape[0],
        height=height,
        width=width,
        channels=channels,
        outputs=weight.shape[0],
        out_height=found.shape[1],
        out_width=found.shape[2],
        kernel=(weight.shape[1], weight.shape[2]),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        x_format=x.format,
        weight_format=weight.format,
        out_format=found.format,
        x_strides=(x.strides[0], x.strides[1], x.strides[2]),
        out_strides=(found.strides[0], found.strides[1], found.strides[2]),
        weight_strides=(weight.strides[0], weight.strides[1], weight.strides[2]),
        bias=bias is not None,
        relu=relu,
        saturate=found.format.saturates,
        scale_bits=None if scale is None else int(np.float32(scale).view(np.uint32)),
    )
    if _joins(window, width, found.shape[2], spec.kernel[1]):
        taps = spec.kernel[1]
        line = weight.strides[1]
        spec = replace(
            spec, kernel=(spec.kernel[0], 1), channels=channels * taps, weight_strides=(weight.strides[0], line, line)
        )
    name = f"conv2d {'x'.join(map(str, x.shape))} by {'x'.join(map(str, weight.shape))} {x.dtype}"
    addresses = [x.address, weight.address, found.address, 0 if bias is None else bias.address]
    apart = found.buffer not in (x.buffer, weight.buffer)
    piece, steps = share_convolution(spec, len(available) if apart else 1, x.device.config.tile)
    arguments = [[at + step for at, step in zip(addresses, each, strict=True)] for each in steps]
    x.device.run(conv_program(x.device.config, piece), arguments, cores=available[: len(steps)], name=name)


def _joins(window: Window, width: int, out_width: int, taps: int) -> bool:
    """The taps of a line are side by side in memory, and all of them are in the image."""
    inside = window.padding[1] == 0 and (out_width - 1) * window.stride[1] + taps <= width
    return inside and window.dilation[1] == 1


def _dense(x: Tensor, cores: int | None) -> Tensor:
    """x, copied where channels and pixels aren't side by side."""
    size = x.format.bits // 8
    return x if x.strides[2:] == (x.shape[3] * size, size) else copy(x, cores=cores)


def check_operands(x: Values, weight: Values, out: Format) -> None:
    """Raise ValueError unless images, kernels and the result's format are the chip's and fit each other."""
    if isinstance(x, Tensor) != isinstance(weight, Tensor):
        raise TypeError("conv2d takes tensors or arrays, not some of both")
    if x.ndim != 4 or weight.ndim != 4 or x.shape[3] != weight.shape[3] or 0 in (*x.shape[1:], *weight.shape):
        raise ValueError(f"conv2d: images {x.shape} (N, H, W, C) and kernels {weight.shape} (O, KH, KW, C) don't fit")
    if max(x.shape[1:3]) > SIZE_LIMIT:
        raise ValueError(f"conv2d: images of {x.shape[1]} x {x.shape[2]} are larger than {SIZE_LIMIT}")
    formats = [format_of(x.dtype), format_of(weight.dtype)]
    if any(fmt.code not in OPERAND_FORMATS or fmt.bits < 8 for fmt in formats) or formats[0].bits != formats[1].bits:
        raise ValueError(
            f"conv2d multiplies bf16, fp16, e4m3, e5m2 and int8 of one width, not {formats[0]} by {formats[1]}"
        )
    if out.code not in OUTPUT_FORMATS or out.bits < 8:
        raise ValueError(f"conv2d can't write {out}")


def columns_of(x: Any, kernel: tuple[int, int], window: Window, size: tuple[int, int]) -> Any:
    """im2col: (N, OH, OW, KH, KW, C), zeros outside of the images."""
    found = np.zeros((x.shape[0], *size, *kernel, x.shape[3]), x.dtype)
    for kh, kw in np.ndindex(*kernel):
        y, column = (
            np.arange(n) * s + k * d - p
            for n, s, k, d, p in zip(size, window.stride, (kh, kw), window.dilation, window.padding, strict=True)
        )
        rows, columns = (y >= 0) & (y < x.shape[1]), (column >= 0) & (column < x.shape[2])
        there = x[:, y[rows]][:, :, column[columns]]
        found[np.ix_(range(len(x)), rows, columns, [kh], [kw])] = there[:, :, :, None, None]
    return found


def reference(
    x: Any,
    weight: Any,
    bias: Any,
    window: Window,
    size: tuple[int, int],
    out: Format,
    *,
    scale: float | None = None,
    relu: bool = False,
) -> Any:
    """`convolve` of arrays, for a result of this height and width."""
    (pixels, a), (kernels, b) = to_codes(x), to_codes(weight)
    outputs, kh, kw, channels = weight.shape
    columns = columns_of(pixels, (kh, kw), window, size)
    taps, run = (kh, kw * channels) if _joins(window, x.shape[2], size[1], kw) else (kh * kw, channels)
    room = [(0, 0), (0, 0), (0, -run % (CHUNK * 8 // a.bits))]
    rows = np.pad(columns.reshape(-1, taps, run), room).reshape(columns[..., 0, 0, 0].size, -1)
    others = np.pad(kernels.reshape(outputs, taps, run), room).reshape(outputs, -1)
    codes, _ = matmul_reference(rows, a, others.T, b, out, scale=scale, bias=bias, relu=relu)
    return from_codes(codes.reshape(x.shape[0], *size, outputs), out)


def _conv2d_reference(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    out_dtype: str = "fp32",
    scale: float | None = None,
    activation: str | None = None,
) -> Any:
    window = Window.of(stride, padding, dilation)
    size = window.out_size((x.shape[1], x.shape[2]), (weight.shape[1], weight.shape[2]))
    return reference(x, weight, bias, window, size, format_of(out_dtype), scale=scale, relu=activation == "relu")


REFERENCES: Mapping[str, Callable[..., Any]] = {"conv2d": _conv2d_reference}
"""The kernel in NumPy, with its bits."""
