"""The golden chip as a back end of the driver."""

from __future__ import annotations

from gemel_golden.chip import GoldenChip


class GoldenBackend(GoldenChip):
    """`gemel_golden.chip.GoldenChip`, which can be reset as well."""

    def reset(self) -> None:
        """All state but memory as at the start."""
        memory = self.memory
        super().__init__(self.config, 0)
        self.memory = self.core.memory = memory
