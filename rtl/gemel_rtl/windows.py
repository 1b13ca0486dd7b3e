"""A ring's address windows as they come with a launch."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from gemel_golden.windows import PAGE, WINDOWS

__all__ = ["WINDOW_BITS", "Windows", "allows"]

WINDOW_BITS = 32
"""Bits of a page's number in a window."""

Windows = data.StructLayout(
    {
        "windows": data.ArrayLayout(
            data.StructLayout({"base": WINDOW_BITS, "limit": WINDOW_BITS, "read": 1, "write": 1}), WINDOWS
        ),
        "enforced": 1,
    }
)
"""`gemel_golden.windows.Windows`: pages `base` to `limit` - 1 may be read, written."""


def allows(m: Module, windows: Any, address: Value, right: str, name: str) -> Signal:
    """Whether `windows` allow `right` ("read" or "write") at `address`; no burst leaves a page."""
    found = Signal(WINDOWS, name=f"{name}_windows")
    allowed = Signal(name=f"{name}_allowed")
    page = address[PAGE.bit_length() - 1 :]
    with m.If(windows.enforced):
        for i in range(WINDOWS):
            window = windows.windows[i]
            m.d.comb += found[i].eq(window[right] & (page >= window.base) & (page < window.limit))
    m.d.comb += allowed.eq(~windows.enforced | found.any())
    return allowed
