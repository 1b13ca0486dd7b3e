"""Gemel's software: open a chip, give it memory and programs, run them on simulated hardware or the golden model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemel.driver.assembly import assemble, disassemble
    from gemel.driver.buffer import Buffer
    from gemel.driver.device import Device, Event, Launch, Result, open
    from gemel.driver.faults import DeviceError, DeviceFault, DeviceTimeout
    from gemel.driver.memory import OutOfDeviceMemory
    from gemel.driver.program import Program, reg
    from gemel.kernels.matmul import matmul
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
    "Tensor",
    "assemble",
    "disassemble",
    "empty",
    "kernel",
    "matmul",
    "open",
    "reg",
    "tensor",
]

_HOMES = {
    "driver.assembly": ("assemble", "disassemble"),
    "driver.buffer": ("Buffer",),
    "driver.device": ("Device", "Event", "Launch", "Result", "open"),
    "driver.faults": ("DeviceError", "DeviceFault", "DeviceTimeout"),
    "driver.memory": ("OutOfDeviceMemory",),
    "driver.program": ("Program", "reg"),
    "kernels.matmul": ("matmul",),
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
