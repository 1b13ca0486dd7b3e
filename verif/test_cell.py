"""A cell's accumulators against golden: random issues at the least distance, two banks, loads and drains."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_golden.dot import block_elements, block_matmul
from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale
from gemel_rtl.numeric.accumulate import DotCell
from gemel_verif.numeric_benches import CellBench
from gemel_verif.runner import simulate
from gemel_verif.stimulus import operands

GROUPS_M, GROUPS_N, SUB = 2, 4, 2
BLOCKS = 24
LATENCY = 1 + DotCell.latency
"""From the port's `valid`, which the bench registers, until a drain sees the sum."""


class Script:
    """Builds the ports' values cycle by cycle, and what golden says of the accumulators."""

    def __init__(self, rng: np.random.Generator, fmt_a: str, fmt_b: str, kind: str):
        self.rng = rng
        self.integer = FORMATS[fmt_a].is_int and FORMATS[fmt_b].is_int
        width = block_elements(fmt_a, fmt_b)
        codes = [operands(rng, fmt, (BLOCKS, width), kind) for fmt in (fmt_a, fmt_b)]
        self.blocks = [
            [int.from_bytes(np.ascontiguousarray(row).tobytes(), "little") for row in side] for side in codes
        ]
        self.sums = np.asarray(block_matmul(codes[0], fmt_a, codes[1].T, fmt_b)[0]).view(np.uint32)
        self.formats = {"fmt_a": FORMATS[fmt_a].code, "fmt_b": FORMATS[fmt_b].code}
        self.formats |= {"wide": int(width == 16), "lanes": width, "integer": int(self.integer)}
        self.formats |= {"scaling_a": BlockScale.FP32, "scaling_b": BlockScale.FP32}
        self.cycles: list[dict[str, int]] = []
        self.expected: list[tuple[int, int]] = []  # cycle, drain_data
        self.state: NDArray[np.uint32] = np.zeros((2, GROUPS_M, GROUPS_N), np.uint32)
        self.partial: NDArray[np.uint32] = np.zeros((GROUPS_M, GROUPS_N), np.uint32)
        self.overflows = self.invalid = self.group_overflows = 0

    def load(self, bank: int) -> None:
        """Fill a bank with random numbers."""
        for ig in range(GROUPS_M):
            for jq in range(GROUPS_N // SUB):
                values = np.uint32(1 << 31) + self.rng.integers(-(1 << 18), 1 << 18, SUB).astype(np.uint32)
                if not self.integer:
                    values = fp32.bits_of(self.rng.normal(0, 2.0 ** self.rng.integers(-20, 20), SUB))
                self.state[bank, ig, jq * SUB : jq * SUB + SUB] = values
                data = int.from_bytes(values.tobytes(), "little")
                self.cycles.append({"load_en": 1, "load_bank": bank, "load_ig": ig, "load_jq": jq, "load_data": data})

    def compute(self, bank: int, count: int, *, fresh: bool, drain: int | None) -> None:
        """Issue blocks to random accumulators, each as soon as it may be; drain a bank meanwhile, then one sum."""
        free: dict[tuple[int, int], int] = {}
        started: set[tuple[int, int]] = set()
        drains = [(ig, jq) for ig in range(GROUPS_M) for jq in range(GROUPS_N // SUB)] if drain is not None else []
        issued, slot = 0, (0, 0)
        slots = 1 if self.rng.random() < 0.3 else GROUPS_M * GROUPS_N
        while issued < count or drains:
            cycle: dict[str, int] = {}
            wanted = divmod(int(self.rng.integers(slots)), GROUPS_N)
            if issued < count and len(self.cycles) >= free.get(wanted, 0):
                slot = wanted
                free[slot] = len(self.cycles) + DotCell.distance
                i, j = self.rng.integers(0, BLOCKS, 2)
                first = fresh and slot not in started
                started.add(slot)
                cycle = {"valid": 1, "bank": bank, "ig": slot[0], "jg": slot[1], "first": int(first), **self.formats}
                cycle |= {"a": self.blocks[0][i], "b": self.blocks[1][j]}
                self._accumulate((bank, *slot), self.sums[i, j], first)
                issued += 1
            if drains and self.rng.random() < 0.5:
                assert drain is not None
                cycle |= self._drain(drain, *drains.pop(0))
            self.cycles.append(cycle)
        self.cycles.extend({} for _ in range(LATENCY - 1))
        if count:
            self.cycles.append(self._drain(bank, slot[0], slot[1] // SUB))

    def compute_groups(self, bank: int, count: int, *, fresh: bool) -> None:
        """Groups of one to four blocks under FP32 scales in random accumulators, each as soon as it may be."""
        free = np.zeros((GROUPS_M, GROUPS_N), int)
        ready = np.zeros((GROUPS_M, GROUPS_N), int)
        left = np.zeros((GROUPS_M, GROUPS_N), int)
        started: set[tuple[int, int]] = set()
        issued = 0
        while issued < count or left.any():
            slot = divmod(int(self.rng.integers(GROUPS_M * GROUPS_N)), GROUPS_N)
            begins = left[slot] == 0
            size = int(self.rng.integers(1, 5)) if begins else int(left[slot])
            last = size == 1
            if (begins and issued == count) or len(self.cycles) < max(free[slot], ready[slot] if last else 0):
                self.cycles.append({})
                continue
            left[slot] = size - 1
            issued += begins
            first = fresh and slot not in started
            i, j = (int(x) for x in self.rng.integers(0, BLOCKS, 2))
            scales = fp32.bits_of(self.rng.normal(0, np.exp2(self.rng.integers(-6, 7, 2))))
            if self.rng.random() < 0.05:
                scales = self.rng.integers(0, 1 << 32, 2, dtype=np.uint32)
            cycle = {"valid": 1, "bank": bank, "ig": slot[0], "jg": slot[1], "first": int(first), **self.formats}
            cycle |= {"a": self.blocks[0][i], "b": self.blocks[1][j], "grouped": 1, "group_first": int(begins)}
            cycle |= {"group_last": int(last), "scale_a": int(scales[0]), "scale_b": int(scales[1])}
            self.cycles.append(cycle)
            self.partial[slot] = self.sums[i, j] if begins else fp32.add(self.partial[slot], self.sums[i, j])
            free[slot] = len(self.cycles) - 1 + DotCell.distance
            if last:
                started.add(slot)
                ready[slot] = len(self.cycles) - 1 + DotCell.group_distance
                old = np.uint32(0) if first else self.state[(bank, *slot)]
                s = fp32.mul(scales[0], scales[1])
                new = fp32.fma(self.partial[slot], s, old)
                self.group_overflows += bool(
                    fp32.overflowed(s, scales[0], scales[1]) | fp32.overflowed(new, self.partial[slot], s, old)
                )
                self.state[(bank, *slot)] = new
        self.cycles.extend({} for _ in range(1 + DotCell.group_latency))
        for ig in range(GROUPS_M):
            for jq in range(GROUPS_N // SUB):
                self.cycles.append(self._drain(bank, ig, jq))

    def _accumulate(self, at: tuple[int, int, int], block: Any, first: bool) -> None:
        old = self.state[at]
        if first:
            self.state[at] = block
        elif self.integer:
            exact = int(old.view(np.int32)) + int(block.view(np.int32))
            self.overflows += not -(1 << 31) <= exact < 1 << 31
            self.state[at] = exact & 0xFFFF_FFFF
        else:
            self.state[at] = fp32.add(old, block)
        self.invalid += not self.integer and bool(fp32.is_nan(self.state[at]))

    def _drain(self, bank: int, ig: int, jq: int) -> dict[str, int]:
        data = int.from_bytes(self.state[bank, ig, jq * SUB : jq * SUB + SUB].tobytes(), "little")
        self.expected.append((len(self.cycles) + 1, data))
        return {"drain_en": 1, "drain_bank": bank, "drain_ig": ig, "drain_jq": jq}


@pytest.mark.parametrize(
    ("fmt_a", "fmt_b", "kind"),
    [
        ("int8", "int8", "normal"),
        ("e4m3", "e4m3", "special"),
        ("bf16", "e5m2", "cancelling"),
        ("bf16", "bf16", "overflow"),
    ],
)
def test_cell(rng: np.random.Generator, fmt_a: str, fmt_b: str, kind: str) -> None:
    script = Script(rng, fmt_a, fmt_b, kind)
    drain = None
    for round_ in range(30):
        bank = round_ % 2
        fresh = bool(rng.integers(2))
        script.load(bank)
        script.compute(bank, int(rng.integers(1, 60)), fresh=fresh, drain=drain)
        drain = bank
    script.compute(0, 0, fresh=False, drain=drain)
    results = _judge(script, f"{fmt_a} x {fmt_b}")
    assert sum(results["invalid"]) == script.invalid
    if script.integer:
        assert sum(results["overflow"]) == script.overflows > 0


@pytest.mark.parametrize(("fmt", "kind"), [("e4m3", "normal"), ("bf16", "overflow")])
def test_groups_under_fp32_scales(rng: np.random.Generator, fmt: str, kind: str) -> None:
    script = Script(rng, fmt, fmt, kind)
    for round_ in range(20):
        script.load(round_ % 2)
        script.compute_groups(round_ % 2, int(rng.integers(1, 60)), fresh=bool(rng.integers(2)))
    results = _judge(script, fmt)
    assert any(results["overflow"]) or not script.group_overflows


def _judge(script: Script, name: str) -> dict[str, Any]:
    """Play a script, and compare what was drained."""
    bench = CellBench(groups_m=GROUPS_M, groups_n=GROUPS_N, sub=SUB)
    inputs: dict[str, Any] = {"cycles": script.cycles, "outputs": ("drain_data", "invalid", "overflow")}
    results = simulate(bench, "cell_bench", "tb_cell", inputs)
    changes = dict(script.expected)
    held = None
    for cycle, got in enumerate(results["drain_data"]):
        held = changes.get(cycle, held)
        assert held in (None, got), f"{name}, cycle {cycle}: expected {held:#018x}, got {got:#018x}"
    return results
