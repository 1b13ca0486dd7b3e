"""Gemel's software: open a chip, give it memory and programs, run them on simulated hardware or the golden model."""

from gemel.driver.assembly import assemble, disassemble
from gemel.driver.buffer import Buffer
from gemel.driver.device import Device, Event, Launch, Result, open
from gemel.driver.faults import DeviceError, DeviceFault, DeviceTimeout
from gemel.driver.memory import OutOfDeviceMemory
from gemel.driver.program import Program, reg

__all__ = [
    "Buffer",
    "Device",
    "DeviceError",
    "DeviceFault",
    "DeviceTimeout",
    "Event",
    "Launch",
    "OutOfDeviceMemory",
    "Program",
    "Result",
    "assemble",
    "disassemble",
    "open",
    "reg",
]
