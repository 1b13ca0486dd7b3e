"""Profiles: recordings of launches, their trace and their reports."""

import json
import sys
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gemel
from gemel import Program, assemble, cli, reg
from gemel.driver.counters import Counters
from gemel.driver.device import TraceEvent
from gemel.driver.recording import DeviceRecord, Recording, recording
from gemel.driver.work import Work, mnemonics, work_of
from gemel.report.files import write_profile
from gemel.report.profile_pictures import draw_roofline
from gemel.report.summary import profile_of
from gemel.report.trace import lanes, trace_events
from gemel_golden.activity import UNITS, Activity
from gemel_golden.config import config
from gemel_golden.counters import BUCKETS, WORK
from gemel_golden.isa import Unit
from gemel_golden.packets import PacketType
from gemel_golden.registers import CHANNEL

NANO = config("nano")


def check_trace(events: list[dict[str, Any]]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """A trace is well formed: known phases with their fields, named tracks, slices that don't overlap; by track."""
    names: dict[tuple[int, int | None], str] = {}
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    counters: dict[tuple[int, str], float] = {}
    for event in events:
        assert isinstance(event["pid"], int) and event["ph"] in ("M", "X", "C")
        match event["ph"]:
            case "M":
                assert event["name"] in ("process_name", "thread_name")
                names[event["pid"], event.get("tid")] = event["args"]["name"]
            case "X":
                assert isinstance(event["tid"], int) and event["name"] and event["ts"] >= 0 and event["dur"] > 0
                tracks[event["pid"], event["tid"]].append(event)
            case "C":
                assert all(value >= 0 for value in event["args"].values())
                assert event["ts"] >= counters.get((event["pid"], event["name"]), 0)
                counters[event["pid"], event["name"]] = event["ts"]
    assert len(set(names)) == len(names)
    for (process, track), slices in tracks.items():
        assert (process, None) in names and (process, track) in names
        slices.sort(key=lambda event: event["ts"])
        for one, two in pairwise(slices):
            assert one["ts"] + one["dur"] <= two["ts"] + 1e-9, f"{one} overlaps {two}"
    json.dumps(events)
    return tracks


def counters(cycles: int, busy: int) -> Counters:
    """Counters of a launch in which every unit was busy so long, and had no instruction otherwise."""
    classes = dict.fromkeys(Activity, 0) | {Activity.BUSY: busy, Activity.INSTRUCTION: cycles - busy}
    latencies = {1 << bucket: int(bucket == 6) for bucket in range(BUCKETS)}
    return Counters(units=dict.fromkeys(UNITS, classes), work=dict.fromkeys(WORK, 640), latencies=latencies)


def example(memory: str = "ideal", cores: int = 1) -> Recording:
    """Two launches of nano: loads that overlap, a product, traffic of two channels."""
    chip = NANO.override(memory=memory, channels=2, cores=cores)
    record = DeviceRecord(chip=chip, timed=True, bandwidth=64.0)
    p = Program()
    for _ in range(2):
        p.load(mem=reg(1), bytes=64, valid_bytes=64, valid1=1)
    p.matmul(m=32, n=32, k=64, a_format="e4m3", b_format="e4m3")
    p.halt()
    for number, begun in enumerate((10, 50)):
        start = 100 + 400 * number
        events = [
            TraceEvent(Unit.LOAD, 0, start, start + 60, 0, start - 5),
            TraceEvent(Unit.LOAD, 1, start + 10, start + 70, 0, start - 3),
            TraceEvent(Unit.TENSOR, 2, start + 70, start + 200, 0, start - 1),
            TraceEvent(Unit.COMMAND, PacketType.LAUNCH << 16 | 2 * number, 10 + 390 * number, start + 280, 1),
        ]
        ended = start + 300
        samples = [
            (cycle, channel, 64 * cycle, 0, cycle // 4, cycle // 100)
            for cycle in range(start, ended, 100)
            for channel in (0, 1)
        ]
        names = [register.name for register in CHANNEL.table]
        channels = [{name: 10 * (i + 1) + channel for i, name in enumerate(names)} for channel in range(2)]
        record.note(
            name="product",
            program=p,
            begun=begun,
            ended=ended,
            events=events,
            counters={core: counters(280 - 20 * core, 128) for core in range(cores)},
            samples=samples,
            memory=channels if chip.drams else (),
            cores=range(cores),
        )
    return Recording(interval=100, devices=[record])


def test_work_is_read_off_a_program() -> None:
    p = Program()
    with p.loop(3):
        p.load(mem=reg(1), bytes=96, valid_bytes=70, count1=5, valid1=4, count2=2)
        with p.loop(2):
            p.matmul(m=8, n=16, k=100, a_format="bf16", b_format="e4m3")
        p.store(mem=reg(1), bytes=96, count1=5)
    p.matmul(m=32, n=32, k=64, a_format="e2m1", b_format="int4")
    p.halt()
    products = 3 * 2 * 8 * 16 * 100
    assert work_of(p.bytes, NANO) == Work(
        macs=products + 32 * 32 * 64,
        peak_cycles=products / 64 + 32 * 32 * 64 / 256,
        bytes_read=3 * 4 * 2 * 70,
        bytes_written=3 * 5 * 96,
    )
    assert mnemonics(p.bytes)[:3] == ["LOOP", "LOAD", "LOOP"]
    assert mnemonics(bytes([0xEE] + [0] * 63)) == ["?"]


def test_lanes_hold_what_does_not_overlap() -> None:
    events = [
        TraceEvent(Unit.LOAD, i, *span) for i, span in enumerate([(0, 10), (5, 20), (10, 12), (11, 30), (12, 13)])
    ]
    assert [(lane, event.pc) for lane, event in lanes(events)] == [(0, 0), (1, 1), (0, 2), (2, 3), (0, 4)]


def test_a_trace_is_well_formed() -> None:
    tracks = check_trace(trace_events(example()))
    keys = ((1, 0), (1, 3), (3, 16), (3, 17), (3, 32))
    launches, packets, load, load_too, tensor = (tracks[key] for key in keys)
    assert [(e["name"], e["ts"]) for e in packets] == [("LAUNCH #0", 0.01), ("LAUNCH #2", 0.4)]
    assert [(e["name"], e["ts"], round(e["dur"], 6)) for e in launches] == [
        ("product", 0.01, 0.39),
        ("product", 0.4, 0.4),
    ]
    assert [e["name"] for e in (*load, *load_too, *tensor)] == [
        *["LOAD #0"] * 2,
        *["LOAD #1"] * 2,
        *["MATMUL #2"] * 2,
    ]
    assert len(tracks) == 5
    levels = [e["args"]["instructions"] for e in trace_events(example()) if e["name"] == "LOAD queue"]
    assert levels == [1, 2, 1, 0] * 2
    rates = [e["args"]["read"] for e in trace_events(example()) if e["name"] == "channel 1, bytes a cycle"]
    assert rates == [64.0] * 5 + [0.0]
    rates = [e["args"]["read"] for e in trace_events(example()) if e["name"] == "all channels, bytes a cycle"]
    assert rates == [128.0] * 5 + [0.0]
    rows = [e for e in trace_events(example("hbm3")) if e["name"] == "channel 1, rows in 1,000 cycles"]
    assert [e["args"] for e in rows] == [{"opened": 250.0, "refreshed": 10.0}] * 5 + [{"opened": 0.0, "refreshed": 0.0}]
    check_trace(trace_events(example("hbm3")))


def test_a_summary_adds_launches_up() -> None:
    (kernel,) = profile_of(example()).kernels
    assert (kernel.launches, kernel.cycles, kernel.core_cycles, kernel.macs) == (2, 790, 560, 2 * 32 * 32 * 64)
    assert kernel.utilisation == 2 * 512 / 790 and kernel.share(Unit.TENSOR, Activity.BUSY) == 256 / 560
    assert kernel.core_cycles + kernel.ring_cycles == kernel.cycles
    assert kernel.bandwidth_utilisation(64) == 1280 / (790 * 64)
    assert {least: count for least, count in kernel.latencies.items() if count} == {64: 2}
    assert kernel.work == dict.fromkeys(WORK, 1280) and not kernel.memory


def test_a_summary_of_several_cores() -> None:
    """Two cores' work against two cores' peak; the ring's cycles are those without any core's."""
    (kernel,) = profile_of(example(cores=2)).kernels
    assert (kernel.cycles, kernel.core_cycles, kernel.ring_cycles) == (790, 2 * (280 + 260), 790 - 2 * 280)
    assert kernel.macs == 4 * 32 * 32 * 64 and kernel.utilisation == 2 * 512 / 790


def test_dram_is_reported_by_channel(tmp_path: Path) -> None:
    """Twice 10 + c, 20 + c, ... in the registers' order: row_hits first, column_reads 80 + c, column_writes 90 + c."""
    recording = example("hbm3")
    (kernel,) = profile_of(recording).kernels
    assert kernel.memory[1]["row_hits"] == 2 * 11 and kernel.memory[0]["column_writes"] == 2 * 90
    assert kernel.bandwidth_utilisation(64) == (1280 + 1280) / (790 * 64)
    text, files = write_profile(recording, tmp_path, "")
    share = 2 * (80 + 90) * 32 / (790 * 16)
    rows = [line.split() for line in text.splitlines()]
    assert ["0", "5.1", "5.8", f"{share:.1%}", "33.3%", *["40", "60", "140", "80", "100", "120"]] in rows
    assert "uncorrectable" in files[1].read_text() and "bytes a cycle" not in text
    assert "bursts of LOAD by cycles from address to first beat: 64-127: 2" in text
    assert "outputs clamped: 1,280" in text and "words corrected in the core: 1,280" in text


def test_the_copy_engine_is_reported(tmp_path: Path) -> None:
    """Every cycle of copies is one without a copy, one in which a beat is written, or one of waiting."""
    recording = example()
    (record,) = recording.devices
    for ended, busy in ((1000, 120), (1200, 160)):
        counts = {"copy_busy": busy, "copy_bytes": 2000, "copy_beats": 40}
        record.note(
            name="copy",
            program=Program(),
            begun=800,
            ended=ended,
            events=[],
            counters={},
            samples=[],
            cores=(),
            copied=2000,
            copies=counts,
        )
    copy = profile_of(recording).kernels[1]
    assert (copy.name, copy.cycles, copy.bytes_read, copy.bytes_written) == ("copy", 400, 4000, 4000)
    assert copy.as_dict(64)["copies"] == {"copy_busy": 280, "copy_bytes": 4000, "copy_beats": 80}
    text, files = write_profile(recording, tmp_path, "")
    rows = [line.split() for line in text.splitlines()]
    assert ["COPY", "30.0%", "20.0%", "50.0%", "400", *["4,000", "B", "in", "80", "beats"]] in rows
    assert sum(row[:1] == ["COPY"] for row in rows) == 1
    assert "4,000 B in 80 beats" in files[1].read_text()


def test_reports_hold_tables_and_pictures(tmp_path: Path) -> None:
    text, files = write_profile(example(), tmp_path, "gemel profile <this>")
    assert [file.name for file in files] == ["report.txt", "report.html", "trace.json"]
    assert text == files[0].read_text() and text.startswith("2 launches on nano, 790 cycles\n")
    assert "product" in text and "45.7%" in text
    page = files[1].read_text()
    assert page.count("<svg") == page.count("</svg>") == 5
    assert "gemel profile &lt;this&gt;" in page
    assert "src=" not in page and "<link" not in page and "<script" not in page
    check_trace(json.loads(files[2].read_text())["traceEvents"])


def test_kernels_in_one_place_of_the_roofline_share_a_label() -> None:
    recording = example()
    launches = recording.devices[0].launches
    launches[1] = replace(launches[1], name="another")
    texts = [text.get_text() for text in draw_roofline(profile_of(recording)).axes[0].texts]
    assert "another\nproduct" in texts and "product" not in texts


def test_golden_is_recorded_without_time(rng: np.random.Generator, tmp_path: Path) -> None:
    with recording() as record, gemel.open("nano", "golden") as device:
        a = gemel.tensor(device, rng.normal(size=(8, 40)).astype(np.float32), "bf16")
        for _ in range(2):
            gemel.matmul(a, a.T)
        gemel.softmax(gemel.tensor(device, rng.normal(size=(3, 64)).astype(np.float32)))
        device.run(assemble("HALT"), name="nothing")
    profile = profile_of(record)
    assert {kernel.name: kernel.launches for kernel in profile.kernels} == {
        "matmul 8 x 8 x 40 bf16": 2,
        "softmax": 1,
        "nothing": 1,
    }
    text, files = write_profile(record, tmp_path, "")
    assert "has no clock" in text and "has no clock" in files[1].read_text()
    assert [file.name for file in files] == ["report.txt", "report.html"]
    assert trace_events(record) == []


def test_launches_that_queue_up_are_recorded_in_order() -> None:
    with recording() as record, gemel.open("nano", "golden") as device:
        launches = [device.launch(assemble("HALT"), name=f"launch {i}") for i in range(3)]
        launches[-1].wait()
    assert [launch.name for launch in record.devices[0].launches] == ["launch 0", "launch 1", "launch 2"]


def test_nothing_to_report() -> None:
    with recording() as record, gemel.open("nano", "golden"):
        pass
    with pytest.raises(ValueError, match="nothing to report: no program was launched"):
        profile_of(record)
    with pytest.raises(ValueError, match="at least 1 cycle, not 0"), recording(0):
        pass
    with gemel.open("nano", "golden") as device:  # nobody records any more
        device.run(assemble("HALT"))
    assert len(record.devices) == 1 and not record.devices[0].launches


def profile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[Any, str, str]:
    """Run `gemel profile` in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["gemel", "profile", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    output = capsys.readouterr()
    return end.value.code, output.out, output.err


def test_profiles_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    product = [
        "bench",
        "matmul",
        "--m",
        "33",
        "--n",
        "8",
        "--k",
        "7",
        "--backend",
        "golden",
        "--chip",
        "nano",
        "--json",
    ]
    code, out, err = profile(monkeypatch, capsys, "--out", str(tmp_path), *product)
    assert not code and json.loads(out)["exact"]
    assert "matmul 33 x 8 x 7 e4m3" in err and "report.html" in err
    assert "gemel profile bench matmul --m 33" in (tmp_path / "report.html").read_text()


def test_profiles_a_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import sys, gemel\n"
        "with gemel.open('nano', 'golden') as device:\n"
        "    device.run(gemel.assemble('HALT'), name=sys.argv[1])\n"
        "sys.exit(int(sys.argv[2]))\n"
    )
    code, _, err = profile(monkeypatch, capsys, "--out", str(tmp_path), str(script), "mine", "3")
    assert code == 3 and "mine" in err and "ended with exit code 3" in err
    assert "mine" in (tmp_path / "report.txt").read_text()


def test_errors_are_sentences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        ([], "takes a command or a script"),
        (["profile", "info"], "doesn't profile itself"),
        (["none.py"], "no script none.py"),
        (["info"], "nothing to report"),
    ):
        code, _, err = profile(monkeypatch, capsys, *arguments)
        assert code == 2 and sentence in err
