"""The tensor core: operand fetch, squares, schedule, array, drain."""

from gemel_rtl.tensor.core import TensorCore

__all__ = ["TensorCore"]
