"""Address windows: which pages of memory a ring's launches may read and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel_golden.aperture import Space

__all__ = ["OPEN", "PAGE", "WINDOWS", "Guarded", "Window", "Windows"]

WINDOWS = 4
"""Windows of a ring."""

PAGE = 4096
"""Bytes that a window begins and ends at multiples of; no burst crosses such a boundary."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Addresses `base` to `limit` - 1, rounded down to whole pages, and what may be done there."""

    base: int
    limit: int
    read: bool = False
    write: bool = False


@dataclass(frozen=True)
class Windows:
    """A ring's windows; an access is allowed where one of them allows it, or anywhere while they aren't enforced."""

    windows: tuple[Window, ...] = ()
    enforced: bool = False

    def allowed(self, pages: NDArray[np.uint64], right: str) -> NDArray[np.bool_]:
        """Whether each page (address / 4096) may be accessed; `right` is "read" or "write"."""
        if not self.enforced:
            return np.ones(pages.shape, bool)
        found = np.zeros(pages.shape, bool)
        for window in self.windows:
            if getattr(window, right):
                found |= (pages >= np.uint64(window.base // PAGE)) & (pages < np.uint64(window.limit // PAGE))
        return found

    def allows(self, address: int, right: str) -> bool:
        """Whether the page of `address` may be accessed."""
        return bool(self.allowed(np.array([address // PAGE], np.uint64), right)[0])

    def limit(self, address: int, right: str) -> int:
        """The first address from `address` on that isn't allowed, or 0 where it is `address` itself."""
        spans = [(w.base // PAGE * PAGE, w.limit // PAGE * PAGE) for w in self.windows if getattr(w, right)]
        end = address
        while further := max((limit for base, limit in spans if base <= end < limit), default=0):
            end = further
        return end if end > address else 0

    @classmethod
    def of_registers(cls, values: Mapping[str, int]) -> Windows:
        """The windows that a ring's registers describe (`gemel_golden.registers`)."""
        rights = values["window_rights"]
        windows = tuple(
            Window(
                base=values[f"window{i}_base"] * PAGE,
                limit=values[f"window{i}_limit"] * PAGE,
                read=bool(rights >> 2 * i & 1),
                write=bool(rights >> 2 * i + 1 & 1),
            )
            for i in range(WINDOWS)
        )
        return cls(windows, bool(rights >> 31))

    def registers(self) -> dict[str, int]:
        """Register values for these windows; raises ValueError for too many or for addresses within a page."""
        if len(self.windows) > WINDOWS:
            raise ValueError(f"a ring has {WINDOWS} windows, not {len(self.windows)}")
        values = {"window_rights": int(self.enforced) << 31}
        for i in range(WINDOWS):
            window = self.windows[i] if i < len(self.windows) else Window(base=0, limit=0)
            if window.base % PAGE or window.limit % PAGE:
                raise ValueError(
                    f"a window begins and ends at multiples of {PAGE}, not at {window.base:#x} and {window.limit:#x}"
                )
            values[f"window{i}_base"], values[f"window{i}_limit"] = window.base // PAGE, window.limit // PAGE
            values["window_rights"] |= (window.read | window.write << 1) << 2 * i
        return values


class Guarded(Space):
    """A `Space` of which only what windows allow is there, for an access that needs the `rights` "read", "write" or
    both."""

    def __init__(self, space: Space, windows: Windows, *rights: str):
        super().__init__(space.bytes, base=space.base, l1_bytes=space.l1_bytes, cores=space.cores)
        self._windows, self._rights = windows, rights

    def allows(self, address: int) -> bool:
        """Whether the page of `address` may be accessed."""
        return all(self._windows.allows(address, right) for right in self._rights)

    def regions(self, addresses: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """As a `Space` does; each ends at the first page that no window allows."""
        starts, ends = super().regions(addresses)
        limits = [
            min(self._windows.limit(int(address), right) for right in self._rights) for address in addresses.ravel()
        ]
        return starts, np.minimum(ends, np.array(limits, np.uint64).reshape(ends.shape))


OPEN = Windows()
"""No windows are enforced."""
