"""What a kernel's author did wrong, and where: the file, the line and its text."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KernelError", "Location", "here"]

_PACKAGE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Location:
    """A line of a kernel."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, without its indentation; empty where the file can't be read."""
        return linecache.getline(self.file, self.line).strip()


class KernelError(Exception):
    """A kernel that can't be compiled. The message reads ``file:line: what is wrong``, then the line itself."""

    def __init__(self, message: str, where: Location | None = None):
        self.message = message
        self.where = where
        text = message if where is None else f"{where.file}:{where.line}: {message}"
        super().__init__(f"{text}\n    {where.text}" if where is not None and where.text else text)


def here() -> Location | None:
    """The innermost line under execution that isn't the language's own."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else Location(frame.f_code.co_filename, frame.f_lineno)
