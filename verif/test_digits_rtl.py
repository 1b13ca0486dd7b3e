"""The digits demo on the simulated nano chip: every byte of every layer, cycles, events and pictures."""

import json

import gemel
from gemel import cli
from gemel.models.digits_demo import run_demo
from gemel_golden.isa import Unit


def test_digits_on_the_simulated_chip(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gemel", "run", "digits", "--chip", "nano", "--out", str(tmp_path), "--json"])
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, capsys.readouterr().err
    values = json.loads(capsys.readouterr().out)
    assert values["exact"] is True
    for network in values["networks"]:
        assert network["accuracy"] == network["golden_accuracy"] > 0.96
        assert 0.3 < network["utilisation"] < 1
        assert all(0 < layer["launch_cycles"] < layer["cycles"] for layer in network["layers"])
    trace = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["tid"] for event in trace if event["ph"] == "X"} == {Unit.LOAD, Unit.TENSOR, Unit.STORE}
    assert (tmp_path / "timeline.png").stat().st_size > 10_000


def test_slow_memory_changes_cycles_and_no_byte():
    with gemel.open("nano", "rtl", latency=300, stalls=0.2, seed=3) as chip, gemel.open("nano", "golden") as golden:
        report = run_demo(chip, golden, "rtl")
    assert report.exact, [network.differences for network in report.networks]
