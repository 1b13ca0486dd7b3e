"""Gemel's software: open a chip, give it memory and programs, run them on simulated hardware or the golden model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemel.driver.assembly import assemble, disassemble
    from gemel.driver.buffer import Buffer
    from gemel.driver.device import Device, TraceEvent, open
    from gemel.driver.faults import DeviceError, DeviceFault, DeviceTimeout
    from gemel.driver.launch import Launch, Result
    from gemel.driver.memory import OutOfDeviceMemory
    from gemel.driver.program import Program, reg
    from gemel.driver.protection import Window
    from gemel.driver.stream import Event, Stream
    from gemel.kernels.activations import (
        elu,
        elu_backward,
        leaky_relu,
        leaky_relu_backward,
        relu,
        relu_backward,
        sigmoid,
        sigmoid_backward,
        silu,
        silu_backward,
        softplus,
        softplus_backward,
        swiglu,
        swiglu_backward,
        tanh,
        tanh_backward,
    )
    from gemel.kernels.attention import scaled_dot_product_attention
    from gemel.kernels.attention_backward import scaled_dot_product_attention_backward
    from gemel.kernels.batch_norm import batch_norm, batch_norm_backward, group_norm, group_norm_backward
    from gemel.kernels.conv import conv2d
    from gemel.kernels.conv_backward import conv2d_backward
    from gemel.kernels.copy import copy, copy_fp8, copy_mx
    from gemel.kernels.cross_entropy import cross_entropy, cross_entropy_backward
    from gemel.kernels.dropout import dropout, dropout_backward
    from gemel.kernels.elementwise import add, add_bias, add_scaled, bias_backward, cast, mul, scale, sub
    from gemel.kernels.functions import (
        cos,
        erf,
        exp,
        exp2,
        exp_backward,
        log,
        log2,
        log_backward,
        reciprocal,
        rsqrt,
        sin,
        sqrt,
    )
    from gemel.kernels.gather import embedding, fill, gather, scatter, scatter_add
    from gemel.kernels.gelu import gelu, gelu_backward
    from gemel.kernels.matmul import matmul
    from gemel.kernels.matmul_fp32 import matmul_fp32
    from gemel.kernels.microscaling import dequantise_mx, dequantise_nvfp4, quantise_mx, quantise_nvfp4
    from gemel.kernels.norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
    from gemel.kernels.optimizer import adamw, clip_coefficient, clip_grad_norm, grad_norm, sgd
    from gemel.kernels.quantise import amax, dequantise, quantise
    from gemel.kernels.reduce import argmax, argmin, cumsum, max, mean, min, sum
    from gemel.kernels.rope import rope, rope_backward
    from gemel.kernels.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
    from gemel.kernels.topk import sample, top_k
    from gemel.lang import KernelError, kernel
    from gemel.tensors import Tensor, empty, tensor

__all__ = [
    "Buffer",
    "Device",
    "DeviceError",
    "DeviceFault",
    "DeviceTimeout",
    "Event",
    "KernelError",
    "Launch",
    "OutOfDeviceMemory",
    "Program",
    "Result",
    "Stream",
    "Tensor",
    "TraceEvent",
    "Window",
    "adamw",
    "add",
    "add_bias",
    "add_scaled",
    "amax",
    "argmax",
    "argmin",
    "assemble",
    "batch_norm",
    "batch_norm_backward",
    "bias_backward",
    "cast",
    "clip_coefficient",
    "clip_grad_norm",
    "conv2d",
    "conv2d_backward",
    "copy",
    "copy_fp8",
    "copy_mx",
    "cos",
    "cross_entropy",
    "cross_entropy_backward",
    "cumsum",
    "dequantise",
    "dequantise_mx",
    "dequantise_nvfp4",
    "disassemble",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "embedding",
    "empty",
    "erf",
    "exp",
    "exp2",
    "exp_backward",
    "fill",
    "gather",
    "gelu",
    "gelu_backward",
    "grad_norm",
    "group_norm",
    "group_norm_backward",
    "kernel",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log",
    "log2",
    "log_backward",
    "log_softmax",
    "log_softmax_backward",
    "matmul",
    "matmul_fp32",
    "max",
    "mean",
    "min",
    "mul",
    "open",
    "quantise",
    "quantise_mx",
    "quantise_nvfp4",
    "reciprocal",
    "reg",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rope",
    "rope_backward",
    "rsqrt",
    "sample",
    "scale",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "scatter",
    "scatter_add",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "sin",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "sqrt",
    "sub",
    "sum",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_backward",
    "tensor",
    "top_k",
]

_HOMES = {
    "driver.assembly": ("assemble", "disassemble"),
    "driver.buffer": ("Buffer",),
    "driver.device": ("Device", "TraceEvent", "open"),
    "driver.faults": ("DeviceError", "DeviceFault", "DeviceTimeout"),
    "driver.launch": ("Launch", "Result"),
    "driver.memory": ("OutOfDeviceMemory",),
    "driver.program": ("Program", "reg"),
    "driver.protection": ("Window",),
    "driver.stream": ("Event", "Stream"),
    "kernels.matmul": ("matmul",),
    "kernels.matmul_fp32": ("matmul_fp32",),
    "kernels.activations": (
        "elu",
        "elu_backward",
        "leaky_relu",
        "leaky_relu_backward",
        "relu",
        "relu_backward",
        "sigmoid",
        "sigmoid_backward",
        "silu",
        "silu_backward",
        "softplus",
        "softplus_backward",
        "swiglu",
        "swiglu_backward",
        "tanh",
        "tanh_backward",
    ),
    "kernels.attention": ("scaled_dot_product_attention",),
    "kernels.attention_backward": ("scaled_dot_product_attention_backward",),
    "kernels.batch_norm": (
        "batch_norm",
        "batch_norm_backward",
        "group_norm",
        "group_norm_backward",
    ),
    "kernels.conv": ("conv2d",),
    "kernels.conv_backward": ("conv2d_backward",),
    "kernels.copy": (
        "copy",
        "copy_fp8",
        "copy_mx",
    ),
    "kernels.cross_entropy": (
        "cross_entropy",
        "cross_entropy_backward",
    ),
    "kernels.dropout": (
        "dropout",
        "dropout_backward",
    ),
    "kernels.elementwise": (
        "add",
        "add_bias",
        "add_scaled",
        "bias_backward",
        "cast",
        "mul",
        "scale",
        "sub",
    ),
    "kernels.functions": (
        "cos",
        "erf",
        "exp",
        "exp2",
        "exp_backward",
        "log",
        "log2",
        "log_backward",
        "reciprocal",
        "rsqrt",
        "sin",
        "sqrt",
    ),
    "kernels.gather": (
        "embedding",
        "fill",
        "gather",
        "scatter",
        "scatter_add",
    ),
    "kernels.gelu": (
        "gelu",
        "gelu_backward",
    ),
    "kernels.microscaling": (
        "dequantise_mx",
        "dequantise_nvfp4",
        "quantise_mx",
        "quantise_nvfp4",
    ),
    "kernels.norm": (
        "layer_norm",
        "layer_norm_backward",
        "rms_norm",
        "rms_norm_backward",
    ),
    "kernels.optimizer": (
        "adamw",
        "clip_coefficient",
        "clip_grad_norm",
        "grad_norm",
        "sgd",
    ),
    "kernels.quantise": (
        "amax",
        "dequantise",
        "quantise",
    ),
    "kernels.reduce": (
        "argmax",
        "argmin",
        "cumsum",
        "max",
        "mean",
        "min",
        "sum",
    ),
    "kernels.rope": (
        "rope",
        "rope_backward",
    ),
    "kernels.softmax": (
        "log_softmax",
        "log_softmax_backward",
        "softmax",
        "softmax_backward",
    ),
    "kernels.topk": (
        "sample",
        "top_k",
    ),
    "lang": ("KernelError", "kernel"),
    "tensors": ("Tensor", "empty", "tensor"),
}
"""Modules and their public names, imported at first use: `gemel --help` needn't wait for NumPy."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"gemel.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'gemel' has no attribute {name!r}")
