"""Launches of kernels: how they run, and what they tell somebody who measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemel.driver.device import Device
    from gemel.driver.launch import Result
    from gemel.lang.compiled import Compiled

__all__ = ["launch", "measured", "resident"]


@dataclass(frozen=True)
class _Measured:
    resident: bool
    results: list[Result] = field(default_factory=list)


_MEASURED: ContextVar[_Measured | None] = ContextVar("measured", default=None)


@contextmanager
def measured(*, resident: bool = False) -> Iterator[list[Result]]:
    """Gives a list that gets the result of each launch of a kernel that is called inside.

    resident: all rows lie in the L1 of one core before and after that launch; launches before and after it load and
    store them.
    """
    state = _Measured(resident)
    token = _MEASURED.set(state)
    try:
        yield state.results
    finally:
        _MEASURED.reset(token)


def resident() -> bool:
    """Whether kernels are to be compiled so."""
    state = _MEASURED.get()
    return state is not None and state.resident


def launch(device: Device, compiled: Compiled, arguments: Sequence[Any], name: str, cores: Sequence[int]) -> None:
    """Run a kernel's program, with what loads before it and what stores after it; a list of arguments for each core."""
    if compiled.loads:
        device.run(compiled.loads, arguments, cores=cores, name=f"{name}: loads")
    result = device.run(compiled.program, arguments, cores=cores, name=name)
    if compiled.stores:
        device.run(compiled.stores, arguments, cores=cores, name=f"{name}: stores")
    if (state := _MEASURED.get()) is not None:
        state.results.append(result)
