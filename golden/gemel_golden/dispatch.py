"""Launches on sets of cores: which cores are free, and what a launch under way does next."""

from __future__ import annotations

from collections.abc import Sequence

from gemel_golden.core import Core
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.windows import OPEN, Windows

__all__ = ["Dispatcher", "Launch"]


class Launch:
    """One program on several cores; the core of rank k is the k-th set bit of the launch's mask.

    `numbers` and `cores`: the chip's numbers of its cores and the cores themselves, by rank.
    """

    def __init__(self, numbers: Sequence[int], cores: Sequence[Core]):
        self.numbers = tuple(numbers)
        self.cores = tuple(cores)

    @property
    def done(self) -> bool:
        """Whether all its cores have halted."""
        return all(core.halted for core in self.cores)

    def run(self) -> bool:
        """Go on until all cores have halted or none can go on; whether any of them did something.

        Raises `Fault` with the number of its core when one of them faults.
        """
        before, seen = self._steps(), -1
        while seen != self._steps():
            seen = self._steps()
            for number, core in zip(self.numbers, self.cores, strict=True):
                try:
                    core.run()
                except Fault as fault:
                    if fault.core is None:
                        fault.core = number
                    raise
        return before != seen

    def stalled(self) -> Fault:
        """The watchdog's record for a launch that can't go on."""
        number, core = next(pair for pair in zip(self.numbers, self.cores, strict=True) if not pair[1].halted)
        fault = Fault(FaultCode.WATCHDOG, Unit.SEQUENCER, 0, core.pc)
        fault.core = number
        return fault

    def _steps(self) -> int:
        return sum(core.steps for core in self.cores)


class Dispatcher:
    """Owns the cores: each belongs to one launch at most."""

    def __init__(self, cores: Sequence[Core]):
        self.cores = tuple(cores)
        self.launches: list[Launch] = []

    def begin(
        self, mask: int, program: int, length: int, arguments: Sequence[Sequence[int]], windows: Windows = OPEN
    ) -> Launch | None:
        """Begin a launch on the cores of `mask`, each with its own arguments; None while one of them isn't free."""
        numbers = [number for number in range(len(self.cores)) if mask >> number & 1]
        if any(number in launch.numbers for number in numbers for launch in self.launches):
            return None
        launch = Launch(numbers, [self.cores[number] for number in numbers])
        for core, values in zip(launch.cores, arguments, strict=True):
            core.launch(program, length, values, launch.cores, windows)
        self.launches.append(launch)
        return launch

    def end(self, launch: Launch) -> None:
        """The launch's cores are free again."""
        self.launches.remove(launch)

    def running(self, number: int) -> bool:
        """Whether core `number` belongs to a launch and hasn't halted."""
        return any(number in launch.numbers for launch in self.launches) and not self.cores[number].halted
