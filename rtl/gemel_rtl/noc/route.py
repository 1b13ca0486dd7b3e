"""Where an address leads: to a memory channel, or to the scratchpads."""

from dataclasses import dataclass

from amaranth.hdl import C, Cat, Mux, Value
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_golden.interleave import channel_masks

__all__ = ["Route"]


@dataclass(frozen=True)
class Route:
    """The target of an address: `gemel_golden.interleave.channel`, or target `config.channels` for L1's aperture.

    `aperture`: whether addresses with the topmost bit lead to the scratchpads; otherwise they belong to channels like
    others.
    """

    config: ChipConfig
    aperture: bool = False

    @property
    def targets(self) -> int:
        """How many there are."""
        return self.config.channels + self.aperture

    def __call__(self, address: Value) -> Value:
        """The target's number, of ceil(log2 targets) bits."""
        bits = [(address & mask).xor() for mask in channel_masks(self.config)]
        channel = Cat(bits) if bits else C(0, 1)
        width = max(1, ceil_log2(self.targets))
        return Mux(address[-1] if self.aperture else 0, self.config.channels, channel)[:width]
