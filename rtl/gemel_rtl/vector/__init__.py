"""The vector core: a programmable 32-lane FP32 unit beside the tensor core."""

from gemel_rtl.vector.core import VectorCore

__all__ = ["VectorCore"]
