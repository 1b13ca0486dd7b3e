"""The simulator's AXI memory by itself: latency, bandwidth, order, errors, and a sentence for each broken bus rule."""

import importlib.resources
import subprocess
from pathlib import Path

import pytest

SIZE = 16384
READ = "araddr=0x1000 arlen=3 arid=1"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("axi_memory") / "script"
    source = Path(__file__).parent / "axi_memory_script.cpp"
    with importlib.resources.as_file(importlib.resources.files("gemel.sim") / "harness") as harness:
        subprocess.run(["g++", "-std=c++17", f"-I{harness}", "-o", str(target), str(source)], check=True)
    return target


def run(
    program: Path, lines: dict[int, str], cycles: int, *, rate: str = "64/1", reorder=0, seed=0, stall=0.0
) -> list[str]:
    """One line of output per cycle, then the sentence of the broken rule, or an empty line."""
    script = "".join(lines.get(cycle, "") + "\n" for cycle in range(cycles))
    arguments = [SIZE, 10, *rate.split("/"), reorder, seed, stall]
    done = subprocess.run([program, *map(str, arguments)], input=script, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def beats(output: list[str]) -> list[tuple[int, str]]:
    """Cycle and contents (id:word:resp:last) of each read beat."""
    return [(int(line.split()[0]), line.partition(" r:")[2].split()[0]) for line in output if " r:" in line]


def test_the_first_beat_comes_after_the_latency_and_then_one_a_cycle(program: Path) -> None:
    seen = beats(run(program, {2: READ, 3: "araddr=0x40 arlen=0 arid=2"}, 40))
    assert seen == [(12, "1:64:0:0"), (13, "1:65:0:0"), (14, "1:66:0:0"), (15, "1:67:0:1"), (16, "2:1:0:1")]


@pytest.mark.parametrize(("rate", "expected"), [("48/1", 85), ("1/1", 64 * 64), ("128/1", 64), ("100/3", 123)])
def test_bandwidth_is_exact(program: Path, rate: str, expected: int) -> None:
    seen = beats(run(program, {0: "araddr=0 arlen=63"}, 5000, rate=rate))
    assert len(seen) == 64
    assert abs(seen[-1][0] - seen[0][0] + 1 - expected) <= expected / 64 + 1


def test_a_beat_holds_until_ready(program: Path) -> None:
    seen = beats(run(program, {0: "araddr=0x80 arlen=0 rready=0", 15: "rready=1"}, 40))
    assert seen == [(cycle, "0:2:0:1") for cycle in range(10, 16)]


def test_a_write_is_visible_with_its_response_and_not_before(program: Path) -> None:
    lines = {0: "awaddr=0x1000 awlen=1", 1: "wdata=7 wlast=0 wstrb=0xffffffffffffffff", 2: "wdata=9 wlast=1 wstrb=1"}
    lines |= {11: READ, 12: READ}
    output = run(program, lines, 40)
    assert next(line for line in output if " b:" in line).startswith("12 ")
    assert [word for _, word in beats(output)[::4]] == ["1:64:0:0", "1:7:0:0"]
    assert [word for _, word in beats(output)[1::4]] == ["1:65:0:0", "1:9:0:0"]


def test_addresses_outside_memory_are_answered_with_an_error(program: Path) -> None:
    lines = {0: f"araddr={SIZE - 64} arlen=0", 1: f"araddr={SIZE} arlen=0", 2: f"awaddr={SIZE} awlen=0"}
    output = run(program, lines | {3: "wdata=1 wstrb=1 wlast=1"}, 40)
    assert [word for _, word in beats(output)] == ["0:255:0:1", "0:0:3:1"]
    assert any(" b:3" in line for line in output)


def test_order_within_an_id_survives_reordering(program: Path) -> None:
    lines = {i: f"araddr={128 * i} arlen=1 arid={i % 3}" for i in range(30)}
    runs = [beats(run(program, lines, 400, reorder=1, seed=seed, stall=0.3)) for seed in range(4)]
    orders = [[word for _, word in seen] for seen in runs]
    assert len({tuple(order) for order in orders}) == 4
    for order in orders:
        for id_ in range(3):
            expected = [f"{id_}:{2 * i + beat}:0:{beat}" for i in range(id_, 30, 3) for beat in (0, 1)]
            assert [word for word in order if word.startswith(f"{id_}:")] == expected


RULES = [
    ({3: "araddr=0xfc0 arlen=1"}, "cycle 3: AR burst of 2 beats at 0xfc0 crosses a 4 KB boundary"),
    ({3: "araddr=0 arsize=5"}, "cycle 3: AR size is 5, not 6 (64 bytes)"),
    ({3: "awaddr=0 awburst=0"}, "cycle 3: AW burst type is 0, not 1 (INCR)"),
    ({0: "awaddr=0x40 awlen=1", 1: "wdata=0 wlast=1"}, "cycle 1: W last is 1 at beat 0 of the burst of 2 at 0x40"),
    ({0: "awaddr=0x40", 1: "wdata=0 wlast=0"}, "cycle 1: W last is 0 at beat 0 of the burst of 1 at 0x40"),
    (
        {0: "awaddr=0x44", 1: "wdata=0 wlast=1 wstrb=0xf8"},
        "cycle 1: W strobes 0xf8 lie below the burst's address 0x44",
    ),
    ({1: "wdata=0"}, "cycle 2: W valid fell before ready came"),
    ({1: "wdata=0", 2: "wdata=1"}, "cycle 2: W payload changed before ready came"),
]


@pytest.mark.parametrize(("lines", "sentence"), RULES)
def test_a_broken_rule_is_a_sentence(program: Path, lines: dict[int, str], sentence: str) -> None:
    assert run(program, lines, 10)[-1] == sentence
