"""One matrix product, measured in cycles: operands in L1 or in memory, any layout and format."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.bench.epilogue import EpilogueOperands
from gemel.driver.device import Device
from gemel.dtypes import dtype
from gemel.kernels.block_scales import GROUPS, operand_scales, scale_mode
from gemel.kernels.matmul import matmul
from gemel.kernels.matmul_l1 import load, load_scales, multiply, place, store, tile_rows
from gemel.kernels.matmul_reference import matmul_reference
from gemel.kernels.schedule import Schedule
from gemel.kernels.tiling import Operand
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import Format
from gemel_golden.isa import BlockScale
from gemel_golden.rounding import encode
from gemel_golden.scaled import FP32_GROUP

__all__ = ["LAYOUTS", "SCALES", "MatmulFigures", "Product", "from_l1", "from_memory"]

LAYOUTS = ("nt", "nn", "tn", "tt")
"""BLAS's letters for A and B. n: memory has A as M x K, B as K x N, row by row; t: the transposed matrix."""

SCALES = {"none": None, "mx": "e8m0", "nvfp4": "e4m3", "fp32": "fp32"}
"""Block scales by name, and their format. "fp32": 1 x 128 of A, 128 x 128 of B."""


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
    scales: str = "none"
    epilogue: str = "default"
    approximate: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("m", "n", "k"):
            if getattr(self, name) < 1:
                raise ValueError(f"a benchmark's {name} is at least 1, not {getattr(self, name)}")
        if self.layout not in LAYOUTS:
            raise ValueError(f"no layout {self.layout!r}; there are {', '.join(LAYOUTS)}")
        if self.scales not in SCALES:
            raise ValueError(f"no block scales {self.scales!r}; there are {', '.join(SCALES)}")

        if (self.dtype.bits == 4 and self.layout[0] == "t") or (self.b_dtype.bits == 4 and self.layout[1] == "n"):
            raise ValueError(f"4-bit operands lie along K in memory: A is n and B is t, not {self.layout}")

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
        return config.macs_8bit * 8 // max(self.dtype.bits, self.b_dtype.bits)

    def operands(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of A (m, k) and B (k, n), normally distributed."""
        rng = np.random.default_rng(self.seed)
        return random_codes(rng, (self.m, self.k), self.dtype), random_codes(rng, (self.k, self.n), self.b_dtype)

    def block_scales(self, device: Device) -> tuple[Tensor | None, Tensor | None]:
        """Random block scales on the device, as `matmul` takes them."""
        name = SCALES[self.scales]
        if name is None:
            return None, None
        rng, fmt = np.random.default_rng(self.seed + 1), dtype(name)
        groups = -(-self.k // GROUPS[name])
        across = self.m, -(-self.n // FP32_GROUP) if name == "fp32" else self.n
        a, b = (tensor(device, np.exp2(rng.integers(-4, 5, (groups, rows))), fmt) for rows in across)
        return a.T, b


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
    config: ChipConfig,
    product: Product,
    cycles: int,
    seconds: float,
    exact: bool,
    bytes_per_cycle: float | None = None,
    *,
    cores: int = 1,
) -> MatmulFigures:
    """The figures that follow from cycles (0: no clock), host seconds and, of a product from memory, its bandwidth."""
    peak = product.peak(config) * cores
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


def from_memory(device: Device, product: Product, *, cores: int | None = None) -> MatmulFigures:
    """Memory to memory by `gemel.matmul`; cycles from the doorbell to the interrupt, seconds for the launch alone."""
    a_codes, b_codes = product.operands()
    a = _tensor(device, a_codes, product.dtype, product.layout[0] == "t")
    b = _tensor(device, b_codes, product.b_dtype, product.layout[1] == "t")
    scales = product.block_scales(device)
    sizes, formats = (product.m, product.n), (product.dtype, product.b_dtype, product.out_dtype)
    given = EpilogueOperands.of(device, product.epilogue, product.approximate, sizes, formats, product.seed)
    read = None if given.aux is None else given.aux.codes()
    block_scales = {"a_scale": scales[0], "b_scale": scales[1]}
    d = matmul(a, b, out_dtype=product.out_dtype, cores=cores, **block_scales, **given.options)
    result = device.last
    assert result is not None
    if product.epilogue == "default":
        exact = np.array_equal(d.codes(), _expected(product, a_codes, b_codes, scales))
    else:
        operands = (a_codes, product.dtype), (b_codes, product.b_dtype)
        exact = given.exact(d, read, *operands, **_scale_options(product, scales))
    count = cores or device.config.cores
    return figures(device.config, product, result.total_cycles, result.seconds, exact, device.bandwidth, cores=count)


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
    config, out = device.config, product.out_dtype
    if product.epilogue != "default":
        raise ValueError(f"epilogue {product.epilogue!r} is of products from memory; in L1 there is the product alone")
    codes = product.operands()
    scales = product.block_scales(device)
    mode = scale_mode(product.dtype, product.b_dtype, *scales)
    sides = [
        _L1Side.of(device, side, x, letter, scale, mode)
        for side, x, letter, scale in zip(
            "ab",
            ((codes[0], product.dtype), (codes[1].T, product.b_dtype)),
            (product.layout[0], "t" if product.layout[1] == "n" else "n"),
            (scales[0], None if scales[1] is None else scales[1].T),
            strict=True,
        )
    ]
    d_row_bytes = -(-product.n * out.bits // 8)
    strips = [(2 * side.scale_words(config), CHUNK) for side in sides]
    *operands, d, a_scales, b_scales = place(config, *(s.l1_shape for s in sides), (product.m, d_row_bytes), *strips)

    loads, products, stores = Schedule(), Schedule(), Schedule()
    for register, (side, matrix, strip) in enumerate(zip(sides, operands, (a_scales, b_scales), strict=True), 1):
        load(loads, matrix, register)
        load_scales(loads, config, side.operand, side.name, strip.address, register + 2)
    a, b = ((side.operand, matrix, 0, 0) for side, matrix in zip(sides, operands, strict=True))
    multiply(products, config, a, b, (out, d), scales=(a_scales.address, b_scales.address))
    store(stores, d, 1)

    stored = [side.stored.address for side in sides]
    device.run(loads.encode(), stored + [0 if x is None else x.address for x in scales], name="loads")
    begun = time.monotonic()
    result = device.run(products.encode(), name=f"matmul {product.m} x {product.n} x {product.k} in L1")
    seconds = time.monotonic() - begun
    found = empty(device, (product.m, product.n), out)
    device.run(stores.encode(), [found.address], name="stores")
    exact = np.array_equal(found.codes(), _expected(product, *codes, scales))
    return figures(config, product, result.cycles, seconds, exact)


@dataclass(frozen=True, kw_only=True)
class _L1Side:
    """An operand in memory, and its shape for the tensor core."""

    name: str
    stored: Tensor
    operand: Operand

    @classmethod
    def of(
        cls,
        device: Device,
        name: str,
        codes: tuple[NDArray[Any], Format],
        letter: str,
        scale: Tensor | None,
        mode: BlockScale,
    ) -> _L1Side:
        """Codes (rows, k) with their format, in memory as they are ("n") or transposed ("t")."""
        (rows, k), transposed = codes[0].shape, letter == "t"
        stored = empty(device, (k, rows) if transposed else (rows, k), codes[1])
        stored.write_codes(np.ascontiguousarray(codes[0].T if transposed else codes[0]))
        scales = operand_scales(f"{name}_scale", scale, rows, k, name, mode)
        operand = Operand(fmt=codes[1], rows=rows, k=k, transposed=transposed, scales=scales)
        return cls(name=name, stored=stored, operand=operand)

    @property
    def l1_shape(self) -> tuple[int, int]:
        """Rows and bytes of each, as `place` takes them."""
        return self.stored.shape[0], self.operand.row_bytes(self.stored.shape[1])

    def scale_words(self, config: ChipConfig) -> int:
        """L1 words of its block scales."""
        scales = self.operand.scales
        tiles = len(tile_rows(config, self.operand, self.name))
        return 0 if scales is None else tiles * scales.l1_bytes(self.operand.k) // WORD


def _expected(
    product: Product, a: NDArray[Any], b: NDArray[Any], scales: tuple[Tensor | None, Tensor | None]
) -> NDArray[Any]:
    options = _scale_options(product, scales)
    return matmul_reference(a, product.dtype, b, product.b_dtype, product.out_dtype, **options)[0]


def _scale_options(product: Product, scales: tuple[Tensor | None, Tensor | None]) -> dict[str, Any]:
    """Block scales as `matmul_reference` takes them."""
    name = SCALES[product.scales]
    a_scale, b_scale = (None if x is None else x.codes() for x in scales)
    return {"a_scale": a_scale, "b_scale": b_scale, "scale_fmt": None if name is None else dtype(name)}


def product_of(
    m: int,
    n: int,
    k: int,
    name: str,
    *,
    b_name: str | None = None,
    out: str = "bf16",
    layout: str = "nt",
    scales: str = "none",
    epilogue: str = "default",
    approximate: str = "none",
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
        scales=scales,
        epilogue=epilogue,
        approximate=approximate,
        seed=seed,
    )
