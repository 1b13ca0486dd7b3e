"""Verilog of a chip: its files, and the command that writes and checks them."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gemel_golden.config import config
from gemel_rtl.chip import Chip, read_ids
from gemel_rtl.cli import app
from gemel_rtl.generate import TOP, generate

NANO = config("nano")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return generate(NANO)


def test_each_module_once_and_every_reference_is_there(texts: dict[str, str]) -> None:
    modules = [name for text in texts.values() for name in re.findall(r"^module (\w+)\(", text, re.MULTILINE)]
    used = {name for text in texts.values() for name in re.findall(r"^  (gemel_\w+) .*\($", text, re.MULTILINE)}
    assert len(modules) == len(set(modules))
    assert used == set(modules) - {TOP}
    description = json.loads(texts["config.json"])
    assert description["modules"] == modules
    assert description["l1_bytes"] == NANO.l1_bytes and description["top"] == TOP
    assert texts["files.f"].split() == [f"{name}.v" for name in modules]


def test_dot_cell_is_emitted_once_and_used_by_all(texts: dict[str, str]) -> None:
    assert sum(len(re.findall(r"^  gemel_dot_cell ", text, re.MULTILINE)) for text in texts.values()) == 4


def test_ports_have_the_names_of_the_standard(texts: dict[str, str]) -> None:
    ports = re.search(r"^module gemel_chip\((.*?)\);", texts["gemel_chip.v"], re.MULTILINE | re.DOTALL)
    assert ports is not None
    named = set(ports[1].replace("\n", " ").replace(",", " ").split())
    expected = {"clk", "rst", "irq", "trace_load_start", "trace_tensor_stop", "trace_store_pc"}
    for channel, names in {
        "m_axi0_aw": "id addr len size burst valid ready",
        "m_axi0_w": "data strb last valid ready",
        "m_axi0_b": "id resp valid ready",
        "m_axi0_ar": "id addr len size burst valid ready",
        "m_axi0_r": "id data resp last valid ready",
        "s_axil_aw": "addr valid ready",
        "s_axil_w": "data strb valid ready",
        "s_axil_b": "resp valid ready",
        "s_axil_ar": "addr valid ready",
        "s_axil_r": "data resp valid ready",
    }.items():
        expected |= {channel + name for name in names.split()}
    assert expected <= named
    assert {name for name in named if not name.startswith("trace_")} <= expected


def test_ids_fit() -> None:
    chip = Chip(NANO)
    chip._MustUse__silence = True  # only its ports are looked at
    assert len(read_ids(NANO)) <= 1 << chip.signature.members["m_axi0_arid"].shape


def test_command_generates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str]) -> None:
    """The command writes what `generate` gives and removes what is stale; the README's lines run both for real."""
    monkeypatch.setattr("gemel_rtl.cli.generate", lambda chip: texts if chip == NANO else {})
    stale = tmp_path / "gemel_old.v"
    stale.touch()
    result = CliRunner().invoke(app, ["generate", "nano", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == texts
    assert result.output.startswith("nano: ")


def test_command_lints(monkeypatch: pytest.MonkeyPatch, texts: dict[str, str]) -> None:
    """What is wrong is found; that nano is clean the README's line shows."""
    wrong = texts | {"gemel_queue.v": texts["gemel_queue.v"].replace("input clear;", "input [1:0] clear;")}
    monkeypatch.setattr("gemel_rtl.cli.generate", lambda chip: wrong)
    result = CliRunner().invoke(app, ["lint", "nano"])
    assert result.exit_code == 1
    assert "gemel_queue.v" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pico"], "no chip 'pico'; there are nano, inference, training"),
        (["nano", "--set", "l1_bytes=big"], "--set takes NAME=VALUE with a whole number, not 'l1_bytes=big'"),
        (["nano", "--set", "l1=4"], "no parameter 'l1' in a chip configuration"),
        (["nano", "--set", "rows=3"], "rows must be a power of two, not 3"),
    ],
)
def test_bad_arguments_end_with_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["generate", "-o", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert sentence in result.output


def test_info_shows_every_chip() -> None:
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0
    for word in ("nano", "inference", "training", "l1_bytes", "macs_8bit"):
        assert word in result.output
