"""Packed structures as Python integers, for ports that carry a whole payload."""

from typing import Any

from amaranth.lib import data

__all__ = ["Packer", "value"]


class Packer:
    """Packs and unpacks the fields of a struct layout; nested structures are integers."""

    def __init__(self, layout: data.Layout):
        self.fields = {str(name): (field.offset, (1 << field.width) - 1) for name, field in layout}

    def pack(self, **values: int) -> int:
        """The structure's bits; fields that aren't named are zero, values are cut to their width."""
        bits = 0
        for name, value in values.items():
            offset, mask = self.fields[name]
            bits |= (int(value) & mask) << offset
        return bits

    def unpack(self, bits: int) -> dict[str, int]:
        """The fields' values."""
        return {name: (bits >> offset) & mask for name, (offset, mask) in self.fields.items()}


def value(handle: Any) -> int:
    """A port's value as an integer."""
    return int(handle.value.to_unsigned() if len(handle) > 1 else handle.value)
