"""Chip configurations: every size that the RTL, the golden model, the driver and the documents share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from gemel_golden.memory.timing import MEMORIES

CHUNK = 32
"""Bytes of a chunk: one numeric block of K, one half of an L1 word."""

WORD = 64
"""Bytes of an L1 word, a beat of the memory bus and an instruction."""

DRAIN_LANES = 16
"""Output columns that the tensor core drains per cycle."""

ACCUMULATOR_BANKS = 2
"""Macro tiles in flight in the accumulators: one computes while the other drains."""


@dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """Sizes of one chip. Defaults are those of the inference chip; `override` changes them by name.

    Raises ``ValueError`` naming the number and its limit when the parameters don't fit together.
    """

    name: str
    cores: int = 1
    """Cores; a launch runs on any set of them."""
    rings: int = 1
    """Command rings, which go on beside each other."""
    rows: int = 8
    """Rows of dot units in the tensor core."""
    cols: int = 4
    """Columns of dot units in the tensor core."""
    tile: int = 32
    """Rows and columns of a macro tile, in output elements."""
    l1_bytes: int = 512 * 1024
    """Size of the L1 scratchpad."""
    l1_banks: int = 8
    """Banks of L1; each serves one 32-byte half per half-plane and cycle."""
    queue_depth: int = 8
    """Instructions that each unit's queue holds."""
    fetch_depth: int = 64
    """Instructions that the sequencer's window holds: a loop body up to this size isn't fetched again."""
    outstanding: int = 512
    """Read bursts (and write bursts) that a DMA keeps under way."""
    copy_beats: int = 256
    """Beats of 64 bytes that the copy engine reads ahead at most: it hides about as many cycles of latency."""
    function_units: int = 8
    """Function units of the vector core: each computes one exp2, reciprocal, ... per cycle."""
    mem_address_bits: int = 40
    """Width of a memory address."""
    channels: int = 1
    """Memory channels, each with an AXI4 port."""
    memory: str = "ideal"
    """What is behind each channel: "ideal" (an AXI4 port of the chip), "hbm2" or "hbm3" (a DRAM controller)."""
    ecc: bool = False
    """SECDED check bits in L1, in the sequencer's window and in the vector core's instruction memory."""

    def __post_init__(self) -> None:
        def refuse(what: str) -> None:
            raise ValueError(f"configuration {self.name!r}: {what}")

        for name in (
            "rows",
            "cols",
            "l1_banks",
            "queue_depth",
            "fetch_depth",
            "outstanding",
            "l1_bytes",
            "copy_beats",
            "function_units",
            "channels",
        ):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                refuse(f"{name} must be a power of two, not {value}")
        for name, most in (("cores", 32), ("rings", 16)):
            if not 1 <= getattr(self, name) <= most:
                refuse(f"{name} must lie between 1 and {most}, not {getattr(self, name)}")
        if self.tile != 32:
            refuse(f"tile must be 32 (the transposing square holds 32 chunks), not {self.tile}")
        if self.rows > self.tile or self.cols > DRAIN_LANES:
            refuse(f"an array of {self.rows} x {self.cols} exceeds the limits {self.tile} x {DRAIN_LANES}")
        if self.groups_m * self.groups_n < 8:
            refuse(
                f"{self.rows} x {self.cols} dot units leave {self.groups_m * self.groups_n} accumulators in each; "
                "the adder's pipeline needs at least 8"
            )
        if not 16 * 1024 <= self.l1_bytes <= 1 << 24:
            refuse(f"l1_bytes must lie between {16 * 1024} and {1 << 24}, not {self.l1_bytes}")
        if not 2 <= self.l1_banks <= 64:
            refuse(f"l1_banks must lie between 2 and 64, not {self.l1_banks}")
        if not 32 <= self.copy_beats <= 4096:
            refuse(f"copy_beats must lie between 32 (two bursts) and 4096, not {self.copy_beats}")
        if not 2 <= self.function_units <= 16:
            refuse(f"function_units must lie between 2 and 16, not {self.function_units}")
        if self.memory not in ("ideal", *MEMORIES):
            refuse(f"memory must be ideal, {' or '.join(MEMORIES)}, not {self.memory!r}")
        if self.channels > 32:
            refuse(f"channels must be at most 32, not {self.channels}")
        if not 32 <= self.mem_address_bits <= 56:
            refuse(f"mem_address_bits must lie between 32 and 56, not {self.mem_address_bits}")

    @property
    def dram(self) -> str:
        """The kind of DRAM whose address map counts: an ideal memory's channels lie like HBM3's."""
        return "hbm3" if self.memory == "ideal" else self.memory

    @property
    def drams(self) -> int:
        """Channels of DRAM: all or none."""
        return 0 if self.memory == "ideal" else self.channels

    @property
    def groups_m(self) -> int:
        """Row groups of a macro tile: output row i = group * rows + dot row."""
        return self.tile // self.rows

    @property
    def groups_n(self) -> int:
        """Column groups of a macro tile: output column j = group * cols + dot column."""
        return self.tile // self.cols

    @property
    def drain_sub(self) -> int:
        """Accumulators that one dot unit gives to the drain per cycle."""
        return DRAIN_LANES // self.cols

    @property
    def l1_words(self) -> int:
        """64-byte words of L1."""
        return self.l1_bytes // WORD

    @property
    def macs_8bit(self) -> int:
        """Multiply-accumulates per cycle with 8-bit operands."""
        return self.rows * self.cols * CHUNK

    @property
    def macs_16bit(self) -> int:
        """Multiply-accumulates per cycle when an operand has 16 bits."""
        return self.macs_8bit // 2

    def override(self, **values: int | str) -> ChipConfig:
        """The same chip with some numbers changed by name; an unknown name raises ``ValueError``."""
        known = [f.name for f in fields(self) if f.name != "name"]
        for name in values:
            if name not in known:
                raise ValueError(f"no parameter {name!r} in a chip configuration; there are {', '.join(known)}")
        return replace(self, **values)

    def as_dict(self) -> dict[str, int | str]:
        """Parameters and derived values, for the JSON that goes beside the Verilog."""
        derived = ("groups_m", "groups_n", "drain_sub", "l1_words", "macs_8bit", "macs_16bit")
        return {f.name: getattr(self, f.name) for f in fields(self)} | {name: getattr(self, name) for name in derived}


NANO = ChipConfig(name="nano", rings=2, rows=2, cols=2, l1_bytes=128 * 1024, l1_banks=4, outstanding=64, fetch_depth=16)
"""The smallest chip, for tests."""

CONFIGS: dict[str, ChipConfig] = {
    c.name: c
    for c in (
        NANO,
        ChipConfig(name="inference", rings=4),
        ChipConfig(name="training", cores=2, channels=2, rings=4, rows=4, cols=4),
        replace(NANO, name="quad", cores=4, channels=2),
        ChipConfig(name="inference-hbm3", rings=4, memory="hbm3", channels=4),
    )
}
"""The named builds."""


def config(name: str | ChipConfig) -> ChipConfig:
    """Look a named build up; a ``ChipConfig`` passes through. Raises ``ValueError`` with the known names."""
    if isinstance(name, ChipConfig):
        return name
    if name not in CONFIGS:
        raise ValueError(f"no chip {name!r}; there are {', '.join(CONFIGS)}")
    return CONFIGS[name]
