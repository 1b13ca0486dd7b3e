"""The figures that a chip is held to, each with its least value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemel.bench.matmul import from_l1, from_memory, product_of
from gemel.bench.shapes import run_shapes
from gemel.driver.device import Device

__all__ = ["Figure", "run_figures"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: a share (of the peak, or of the memory's bandwidth) and the least that will do."""

    name: str
    cycles: int | None
    value: float | None
    least: float
    exact: bool

    @property
    def met(self) -> bool:
        """Whether it is exact and large enough."""
        return self.exact and self.value is not None and self.value >= self.least


def run_figures(device: Device) -> Iterator[Figure]:
    """Measure all figures of the inference chip, cheap ones first."""
    for name in ("e4m3", "int8", "bf16"):
        for m, n, k, least in ((128, 128, 128, 0.92), (128, 128, 512, 0.98)):
            got = from_l1(device, product_of(m, n, k, name))
            title = f"in L1, {name} to bf16, {m} x {n} x {k}"
            yield Figure(name=title, cycles=got.cycles, value=got.utilisation, least=least, exact=got.exact)
    shapes = run_shapes(device, count=200, seed=0, name="e4m3")
    yield Figure(
        name="in L1, e4m3, 200 shapes of 1..130 a side",
        cycles=shapes["cycles"],
        value=shapes["utilisation"],
        least=0.5,
        exact=shapes["exact"],
    )
    got = from_memory(device, product_of(1, 1024, 1024, "e4m3"))
    title = "from memory, e4m3, 1 x 1024 x 1024, of the bandwidth"
    yield Figure(name=title, cycles=got.cycles, value=got.bandwidth_utilisation, least=0.93, exact=got.exact)
    for size, least in ((256, 0.88), (512, 0.94)):
        got = from_memory(device, product_of(size, size, size, "e4m3"))
        title = f"from memory, e4m3 to bf16, {size} x {size} x {size}"
        yield Figure(name=title, cycles=got.cycles, value=got.utilisation, least=least, exact=got.exact)
