"""Ranges of bytes that touch."""

from amaranth.hdl import Value, ValueLike

__all__ = ["touch"]


def touch(one: ValueLike, one_bytes: ValueLike, other: ValueLike, other_bytes: ValueLike) -> Value:
    """Whether the ranges of at least one byte that begin at two addresses have a byte in common."""
    one, other = Value.cast(one), Value.cast(other)
    return (one < other + other_bytes) & (other < one + one_bytes)
