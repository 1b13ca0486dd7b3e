"""The gradients of a convolution: of its images a convolution of the gradient, of its kernels a product with im2col."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from gemel.dtypes import dtype as format_of
from gemel.dtypes import from_codes, to_codes
from gemel.kernels.conv import Pair, Window, check_operands, columns_of, convolve, reference
from gemel.kernels.conv_spec import boxes
from gemel.kernels.copy import copy
from gemel.kernels.gather import fill
from gemel.kernels.matmul import matmul
from gemel.kernels.matmul_reference import matmul_reference
from gemel.kernels.rows import Values
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.split import cores_for, most_parts
from gemel.tensors import Tensor, empty
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format
from gemel_golden.isa import Opcode

__all__ = ["REFERENCES", "conv2d_backward"]

X, COLUMNS = 1, 2
"""Registers with the addresses of the images and of their im2col."""
PIECES = 8
"""Pieces in L1 at a time."""


def conv2d_backward(
    grad: Values,
    x: Values,
    weight: Values,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    dtype: str = "fp32",
    cores: int | None = None,
) -> tuple[Any, Any]:
    """The gradients of x (N, H, W, C) and weight (O, KH, KW, C) of `conv2d`, for that of its result (N, OH, OW, O).

    grad, x, weight: of one width; dtype: the gradients' format. The images' gradient is the convolution of grad, with
    zeros between its pixels where the stride is more than 1, by the turned kernels; the kernels' is grad's transpose
    times im2col of x, which takes N * OH * OW * KH * KW * C elements of memory. `bias_backward` makes a bias's. cores:
    so many of the chip's share the work, the same bytes for any number; default: all.
    """
    window = Window.of(stride, padding, dilation)
    size = window.out_size((x.shape[1], x.shape[2]), (weight.shape[1], weight.shape[2]))
    fmt = format_of(dtype)
    check_operands(x, weight, fmt)
    check_operands(grad, weight.T, fmt)
    if grad.shape != (x.shape[0], *size, weight.shape[0]):
        raise ValueError(
            f"conv2d_backward: grad has shape {grad.shape}; the result {(x.shape[0], *size, weight.shape[0])}"
        )
    if not isinstance(x, Tensor) or not isinstance(weight, Tensor) or not isinstance(grad, Tensor):
        return _reference(grad, x, weight, window, fmt)
    return _images(grad, x, weight, window, fmt, cores), _kernels(grad, x, weight, window, fmt, cores)


def _turned(window: Window, kernel: tuple[int, int]) -> Window:
    """How turned kernels move over the gradient."""
    reach = [dilation * (k - 1) for dilation, k in zip(window.dilation, kernel, strict=True)]
    padding = reach[0] - window.padding[0], reach[1] - window.padding[1]
    return Window((1, 1), padding, window.dilation)


def _images(grad: Tensor, x: Tensor, weight: Tensor, window: Window, fmt: Format, cores: int | None) -> Tensor:
    kernel = weight.shape[1], weight.shape[2]
    spread = grad
    if window.stride != (1, 1):
        height, width = ((n - 1) * s + 1 for n, s in zip(grad.shape[1:3], window.stride, strict=True))
        spread = empty(grad.device, (grad.shape[0], height, width, grad.shape[3]), grad.format)
        fill(spread, 0.0)
        image, line, pixel, element = spread.strides
        strides = image, line * window.stride[0], pixel * window.stride[1], element
        copy(grad, out=_view(spread, 0, grad.shape, strides), cores=cores)
    turned = empty(x.device, (weight.shape[3], *kernel, weight.shape[0]), weight.format)
    output, line, tap, element = turned.strides
    last = (kernel[0] - 1) * line + (kernel[1] - 1) * tap
    copy(weight, out=_view(turned, last, weight.shape, (element, -line, -tap, output)), cores=cores)
    found = empty(x.device, x.shape, fmt)
    convolve(spread, turned, _turned(window, kernel), found, cores=cores)
    return found


def _view(x: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    return Tensor(x.device, x.buffer, x.address + offset, shape, strides, x.format)


def _kernels(grad: Tensor, x: Tensor, weight: Tensor, window: Window, fmt: Format, cores: int | None) -> Tensor:
    pixels, outputs = grad.size // grad.shape[3], grad.shape[3]
    taps, channels = weight.shape[1] * weight.shape[2], weight.shape[3]
    columns = empty(x.device, (pixels, taps * channels), x.format)
    if x.strides[3] * 8 != x.format.bits:
        x = copy(x, cores=cores)
    if columns.size:
        available, images = cores_for(x.device, cores), x.shape[0]
        parts = most_parts(images, len(available))
        program = _im2col(
            x, columns, (weight.shape[1], weight.shape[2]), window, (parts.size, grad.shape[1], grad.shape[2])
        )
        image = columns.strides[0] * (pixels // images)
        arguments = [[x.address + n * x.strides[0], columns.address + n * image] for n in parts.starts]
        x.device.run(program, arguments, cores=available[: len(arguments)], name="im2col")
    dense = grad if grad.strides == (*_dense(grad), grad.format.bits // 8) else copy(grad, cores=cores)
    found = matmul(dense.reshape(pixels, outputs).T, columns, out_dtype=fmt, cores=cores)
    return found.reshape(*weight.shape)


def _dense(x: Tensor) -> tuple[int, int, int]:
    size = x.format.bits // 8
    pixel = x.shape[3] * size
    return x.shape[1] * x.shape[2] * pixel, x.shape[2] * pixel, pixel


def _im2col(x: Tensor, columns: Tensor, kernel: tuple[int, int], window: Window, out: tuple[int, ...]) -> bytes:
    """The program that writes the pixels of all taps to rows in memory."""
    size, limit = x.format.bits // 8, x.device.config.l1_bytes // PIECES // CHUNK * CHUNK
    _, height, width, channels = x.shape
    image, line, pixel = x.strides[:3]
    row = columns.strides[0]
    step = limit // size
    schedule, places, number = Schedule(), [Region(i * limit, limit) for i in range(PIECES)], 0
    for first in range(0, channels, step):
        count = min(step, channels - first) * size
        pitch = -(-count // CHUNK)
        for box in boxes(out[0], out[1], out[2], limit // (pitch * CHUNK)):
            (n0, n), (y0, high), (x0, wide) = box
            at = ((n0 * out[1] + y0) * out[2] + x0) * row
            for kh, kw in product(*map(range, kernel)):
                place = places[number % PIECES]
                number += 1
                y = y0 * window.stride[0] + kh * window.dilation[0] - window.padding[0]
                column = x0 * window.stride[1] + kw * window.dilation[1] - window.padding[1]
                shape = {"l1": place.address, "pitch": pitch, "bytes": count}
                shape |= {"count1": wide, "count2": high, "count3": n}
                source = {"mem_reg": X, "mem": (n0 * image + y * line + column * pixel + first * size) & (1 << 64) - 1}
                source |= {"x": column, "y": y, "dx": window.stride[1], "dy": window.stride[0]}
                source |= {"width": width, "height": height, "stride3": image}
                source |= {"stride1": window.stride[1] * pixel, "stride2": window.stride[0] * line}
                schedule.emit(Opcode.IM2COL, shape | source, writes=[place])
                offset = ((kh * kernel[1] + kw) * channels + first) * size
                target = {"mem_reg": COLUMNS, "mem": at + offset, "stride1": row}
                target |= {"stride2": out[2] * row, "stride3": out[1] * out[2] * row}
                schedule.emit(Opcode.STORE, shape | target, reads=[place])
    return schedule.encode()


def _reference(grad: Any, x: Any, weight: Any, window: Window, fmt: Format) -> tuple[Any, Any]:
    kernel = weight.shape[1], weight.shape[2]
    spread = grad
    if window.stride != (1, 1):
        height, width = ((n - 1) * s + 1 for n, s in zip(grad.shape[1:3], window.stride, strict=True))
        spread = np.zeros((grad.shape[0], height, width, grad.shape[3]), grad.dtype)
        spread[:, :: window.stride[0], :: window.stride[1]] = grad
    turned = weight.transpose(3, 1, 2, 0)[:, ::-1, ::-1]
    images = reference(spread, turned, None, _turned(window, kernel), (x.shape[1], x.shape[2]), fmt)
    (rows, a), (pixels, b) = to_codes(grad.reshape(-1, grad.shape[3])), to_codes(x)
    columns = columns_of(pixels, kernel, window, (grad.shape[1], grad.shape[2])).reshape(len(rows), -1)
    codes, _ = matmul_reference(rows.T, a, columns, b, fmt)
    return images, from_codes(codes, fmt).reshape(weight.shape)


def _backward_reference(
    grad: Any, x: Any, weight: Any, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1, dtype: str = "fp32"
) -> tuple[Any, Any]:
    return _reference(grad, x, weight, Window.of(stride, padding, dilation), format_of(dtype))


REFERENCES: Mapping[str, Callable[..., Any]] = {"conv2d_backward": _backward_reference}
"""The kernel in NumPy, with its bits."""
