"""Questions about a format code, as hardware."""

from amaranth.hdl import Cat, Value

from gemel_golden.formats import FORMATS

__all__ = ["has_bits", "is_four", "is_integer", "is_stochastic", "is_wide"]


def has_bits(fmt: Value, bits: int) -> Value:
    """Whether an element of this format has so many bits."""
    return Cat(fmt == f.code for f in FORMATS.values() if f.bits == bits and f.kind != "scale").any()


def is_wide(fmt: Value) -> Value:
    """Whether an operand of this format has 16 bits."""
    return has_bits(fmt, 16)


def is_stochastic(fmt: Value) -> Value:
    """Whether numbers can be rounded stochastically to this format."""
    return Cat(fmt == f.code for f in FORMATS.values() if f.stochastic_bits).any()


def is_four(fmt: Value) -> Value:
    """Whether an operand of this format has 4 bits."""
    return has_bits(fmt, 4)


def is_integer(fmt: Value) -> Value:
    """Whether an operand of this format is an integer."""
    return (fmt == FORMATS["int8"].code) | (fmt == FORMATS["int4"].code)
