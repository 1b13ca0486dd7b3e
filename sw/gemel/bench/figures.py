"""The figures that a chip is held to, each with its least value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemel.bench.attention import Attention, run_attention
from gemel.bench.matmul import from_l1, from_memory, product_of
from gemel.bench.shapes import run_shapes
from gemel.bench.vector import Work, run
from gemel.bench.vector_work import elementwise, norm, optimizer, softmax
from gemel.driver.device import Device

__all__ = ["Figure", "run_figures"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: a share (of the peak, or of the memory's bandwidth) and the least that will do, or cycles for 32
    elements and the most that will do."""

    name: str
    cycles: int | None
    value: float | None
    least: float | None = None
    most: float | None = None
    exact: bool

    @property
    def met(self) -> bool:
        """Whether it is exact and keeps its limit."""
        if not self.exact or self.value is None:
            return False
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def words(self) -> tuple[str, str]:
        """Value and limit."""
        value = "-" if self.value is None else f"{self.value:.2f}" if self.least is None else f"{self.value:.1%}"
        return value, f"at most {self.most:g}" if self.least is None else f"at least {self.least:.0%}"


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
    got = from_l1(device, product_of(128, 128, 512, "e4m3", scales="fp32"))
    title = "in L1, e4m3 under fp32 scales to bf16, 128 x 128 x 512"
    yield Figure(name=title, cycles=got.cycles, value=got.utilisation, least=0.98, exact=got.exact)
    got = from_memory(device, product_of(256, 256, 256, "e4m3", scales="fp32"))
    title = "from memory, e4m3 under fp32 scales to bf16, 256 x 256 x 256"
    yield Figure(name=title, cycles=got.cycles, value=got.utilisation, least=0.88, exact=got.exact)
    for dim, least in ((64, 0.84), (128, 0.9)):
        values = run_attention(device, Attention(tokens=512, head_dim=dim))
        title = f"from memory, attention in bf16, 512 tokens of {dim}"
        share, exact = values["utilisation"], values["exact"]
        yield Figure(name=title, cycles=values["cycles"], value=share, least=least, exact=exact)
    for title, work, in_l1, most in _vector_work():
        got = run(device, work, in_l1=in_l1)
        title = f"{'in L1' if in_l1 else 'from memory'}, fp32, {title}, cycles for 32 elements"
        yield Figure(name=title, cycles=got.cycles, value=got.cycles_per_vector, most=most, exact=got.exact)


def _vector_work() -> Iterator[tuple[str, Work, bool, float]]:
    """Work of the vector core, whether in L1, and cycles for 32 elements at most; from memory a tenth more."""
    for rows, in_l1 in ((64, True), (512, False)):
        more = 1.0 if in_l1 else 1.1
        size = f"{rows} x 512"
        yield f"softmax of {size}", softmax(rows, 512, 0), in_l1, round(8 * more, 2)
        yield f"GELU by tanh of {size}", elementwise("gelu_tanh", rows * 512, 0), in_l1, round(8 * more, 2)
        yield f"GELU of {size}", elementwise("gelu", rows * 512, 0), in_l1, round(5 * more, 2)
        yield f"layer norm of {size}", norm(rows, 512, 0), in_l1, round(7 * more, 2)
        held = 32 if in_l1 else rows
        yield f"AdamW of {held} x 512", optimizer("adamw", held * 512, 0), in_l1, round(26 * more, 2)
    yield "softmax of 128 x 32", softmax(128, 32, 0), False, 24
