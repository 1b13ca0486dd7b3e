"""One matrix product, measured in cycles: operands in L1 or in memory, any layout and format."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.device import Device
from gemel.dtypes import dtype
from gemel.kernels.matmul import matmul, matmul_reference
from gemel.kernels.matmul_l1 import load, multiply, place, store
from gemel.kernels.schedule import Schedule
from gemel.kernels.tiling import Operand
from gemel.tensors import Tensor, empty
from gemel_golden.config import ChipConfig
from gemel_golden.formats import Format
from gemel_golden.rounding import encode

__all__ = ["LAYOUTS", "MatmulFigures", "Product", "from_l1", "from_memory"]

LAYOUTS = ("nt", "nn", "tn", "tt")
"""BLAS's letters for A and B. n: memory has A as M x K, B as K x N, row by row; t: the transposed matrix."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """What is multiplied: D (m, n) = A (m, k) @ B (k, n). Raises ValueError for sizes below 1 or an unknown layout."""

    m: int
    n: int
    k: int
    dtype: Format
    b_dtype: Format
    out_dtype: Format
    layout: str = "nt"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("m", "n", "k"):
            if getattr(self, name) < 1:
                raise ValueError(f"a benchmark's {name} is at least 1, not {getattr(self, name)}")
        if self.layout not in LAYOUTS:
            raise ValueError(f"no layout {self.layout!r}; there are {', '.join(LAYOUTS)}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k

    @property
    def operand_bytes(self) -> int:
        """Bytes of A and B."""
        return (self.m * self.dtype.bits + self.n * self.b_dtype.bits) * self.k // 8

    def peak(self, config: ChipConfig) -> int:
        """Multiply-accumulates that the chip does in a cycle in these formats."""
        return config.macs_16bit if max(self.dtype.bits, self.b_dtype.bits) > 8 else config.macs_8bit

    def operands(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of A (m, k) and B (k, n), normally distributed."""
        rng = np.random.default_rng(self.seed)
        return random_codes(rng, (self.m, self.k), self.dtype), random_codes(rng, (self.k, self.n), self.b_dtype)


@dataclass(frozen=True, kw_only=True)
class MatmulFigures:
    """What a benchmark tells; `cycles` and what follows from them are ``None`` on a chip without a clock."""

    cycles: int | None
    macs: int
    peak_macs_per_cycle: int
    utilisation: float | None
    seconds: float
    mmac_per_second: float
    exact: bool
    bandwidth_utilisation: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


def figures(
    config: ChipConfig, product: Product, cycles: int, seconds: float, exact: bool, bytes_per_cycle: float | None = None
) -> MatmulFigures:
    """The figures that follow from cycles (0: no clock), host seconds and, of a product from memory, its bandwidth."""
    peak = product.peak(config)
    busy = product.operand_bytes / (cycles * bytes_per_cycle) if cycles and bytes_per_cycle else None
    return MatmulFigures(
        cycles=cycles or None,
        macs=product.macs,
        peak_macs_per_cycle=peak,
        utilisation=product.macs / (cycles * peak) if cycles else None,
        seconds=seconds,
        mmac_per_second=product.macs / seconds / 1e6,
        exact=exact,
        bandwidth_utilisation=busy,
    )


def random_codes(rng: np.random.Generator, shape: tuple[int, ...], fmt: Format) -> NDArray[Any]:
    """Codes of normally distributed values; of integers a third of the range wide."""
    return encode(rng.normal(0, fmt.max_finite / 3 if fmt.is_int else 1.0, shape), fmt, saturate=True)[0]


def from_memory(device: Device, product: Product, *, bandwidth: float = 64) -> MatmulFigures:
    """Memory to memory by `gemel.matmul`; cycles from the doorbell to the interrupt, seconds for the launch alone."""
    a_codes, b_codes = product.operands()
    a = _tensor(device, a_codes, product.dtype, product.layout[0] == "t")
    b = _tensor(device, b_codes, product.b_dtype, product.layout[1] == "t")
    d = matmul(a, b, out_dtype=product.out_dtype)
    result = device.last
    assert result is not None
    exact = np.array_equal(d.codes(), _expected(product, a_codes, b_codes))
    return figures(device.config, product, result.total_cycles, result.seconds, exact, bandwidth)


def _tensor(device: Device, codes: NDArray[Any], fmt: Format, transposed: bool) -> Tensor:
    """Codes on the device; `transposed`: memory has them column by column."""
    stored = np.ascontiguousarray(codes.T if transposed else codes)
    result = empty(device, stored.shape, fmt)
    result.write_codes(stored)
    return result.T if transposed else result


def from_l1(device: Device, product: Product) -> MatmulFigures:
    """Operands put into L1 by one launch, the product by a second one that holds nothing else, D fetched by a third.

    Cycles are those of the second launch, from its first fetched instruction to its last byte in L1.
    """
    a_codes, b_codes = product.operands()
    fmt, b_fmt, out = product.dtype, product.b_dtype, product.out_dtype
    a_stored = np.ascontiguousarray(a_codes.T if product.layout[0] == "t" else a_codes)
    b_stored = np.ascontiguousarray(b_codes.T if product.layout[1] == "t" else b_codes)
    d_row_bytes = -(-product.n * out.bits // 8)
    shapes = [(len(x), x.shape[1] * x.itemsize) for x in (a_stored, b_stored)]
    a, b, d = place(device.config, *shapes, (product.m, d_row_bytes))
    a_shape = Operand(fmt=fmt, rows=product.m, k=product.k, transposed=product.layout[0] == "t")
    b_shape = Operand(fmt=b_fmt, rows=product.n, k=product.k, transposed=product.layout[1] == "n")

    loads, products, stores = Schedule(), Schedule(), Schedule()
    load(loads, a, 1)
    load(loads, b, 2)
    multiply(products, device.config, (a_shape, a, 0, 0), (b_shape, b, 0, 0), (out, d))
    store(stores, d, 1)

    device.run(loads.encode(), [device.upload(a_stored), device.upload(b_stored)])
    begun = time.monotonic()
    result = device.run(products.encode())
    seconds = time.monotonic() - begun
    buffer = device.alloc(product.m * d_row_bytes)
    device.run(stores.encode(), [buffer])
    found = Tensor(device, buffer, buffer.address, (product.m, product.n), (d_row_bytes, max(1, out.bits // 8)), out)
    exact = np.array_equal(found.codes(), _expected(product, a_codes, b_codes))
    return figures(device.config, product, result.cycles, seconds, exact)


def _expected(product: Product, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return matmul_reference(a, product.dtype, b, product.b_dtype, product.out_dtype)[0]


def product_of(
    m: int,
    n: int,
    k: int,
    name: str,
    *,
    b_name: str | None = None,
    out: str = "bf16",
    layout: str = "nt",
    seed: int = 0,
) -> Product:
    """A product by the names of its formats."""
    fmt = dtype(name)
    return Product(
        m=m,
        n=n,
        k=k,
        dtype=fmt,
        b_dtype=dtype(b_name) if b_name else fmt,
        out_dtype=dtype(out),
        layout=layout,
        seed=seed,
    )
