"""The sticky flags of a core, as golden's functions report them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What happened on the way to a result; `a | b` joins the flags of two steps."""

    invalid: bool = False
    """A sum, product or block is NaN, or a NaN went to a format that has none."""
    overflow: bool = False
    """A finite value became infinite (in E4M3 without saturation: NaN), or an INT32 accumulation wrapped."""
    saturated: int = 0
    """Number of elements that were clamped to the largest value of their format."""

    def __or__(self, other: "Flags") -> "Flags":
        return Flags(
            invalid=self.invalid or other.invalid,
            overflow=self.overflow or other.overflow,
            saturated=self.saturated + other.saturated,
        )
