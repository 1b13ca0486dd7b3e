"""The DRAM models of C++ and Python: each rule broken by one clock, alone, is named by both; a clock later it holds."""

import importlib.resources
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gemel.sim.dram_table import dram_table, secded_table
from gemel_golden.memory.address_map import AddressMap
from gemel_golden.memory.timing import POSTPONED, Clocks, dram
from gemel_verif.dram import (
    ACTIVATE,
    PRECHARGE,
    READ,
    REFRESH_ALL,
    REFRESH_BANK,
    WRITE,
    Command,
    DramChannel,
    RuleBroken,
)

EARLY_BUS = replace(dram("hbm3"), name="early_bus", ns=replace(dram("hbm3").ns, rtw="0.625"))
"""HBM3 whose tRTW would let a write's data meet a read's: the table's own tRTW keeps them apart."""
MAPS = {d.name: AddressMap(memory=d) for d in (dram("hbm2"), dram("hbm3"), EARLY_BUS)}
Trace = list[tuple[int, Command]]


def act(bank: int, row: int = 1) -> Command:
    return Command(row_command=ACTIVATE, row_bank=bank, row=row)


def pre(bank: int) -> Command:
    return Command(row_command=PRECHARGE, row_bank=bank)


def read(bank: int) -> Command:
    return Command(column_command=READ, column_bank=bank, column=3)


def write(bank: int) -> Command:
    return Command(column_command=WRITE, column_bank=bank, column=3)


REFRESH = Command(row_command=REFRESH_BANK, row_bank=0)
ALL = Command(row_command=REFRESH_ALL)
NEAR, FAR = 4, 1  # bank 0's neighbours: of its group, of another


def distances(t: Clocks) -> dict[str, tuple[Trace, Command, int, int]]:
    """Rule -> commands before, the command that must keep its distance, the clock it counts from, its clocks."""
    late = 3 * (t.faw + t.rrd_l + t.rc)
    opened = [(0, act(0)), (t.faw, act(FAR)), (2 * t.faw, act(NEAR))]
    written = t.cwl + t.burst
    closing = [(0, act(0)), (t.rc, pre(0))]
    four = [(i * t.rrd_l, act(bank)) for i, bank in enumerate((0, 1, 2, 3))]
    return {
        "tRCD_read": ([(0, act(0))], read(0), 0, t.rcd_read),
        "tRCD_write": ([(0, act(0))], write(0), 0, t.rcd_write),
        "tRP": (closing, act(0, 2), t.rc, t.rp),
        "tRAS": ([(0, act(0))], pre(0), 0, t.ras),
        "tRC": ([(0, act(0)), (t.ras, pre(0))], act(0, 2), 0, t.rc),
        "tCCD_S": ([*opened, (late, read(0))], read(FAR), late, t.ccd_s),
        "tCCD_L": ([*opened, (late, read(0))], read(NEAR), late, t.ccd_l),
        "tRRD_S": ([(0, act(0))], act(FAR), 0, t.rrd_s),
        "tRRD_L": ([(0, act(0))], act(NEAR), 0, t.rrd_l),
        "tFAW": (four, act(5), 0, t.faw),
        "tWTR_S": ([*opened, (late, write(0))], read(FAR), late, written + t.wtr_s),
        "tWTR_L": ([*opened, (late, write(0))], read(NEAR), late, written + t.wtr_l),
        "tRTW": ([*opened, (late, read(0))], write(FAR), late, t.rtw),
        "tWR": ([*opened, (late, write(0))], pre(0), late, written + t.wr),
        "tRTP": ([*opened, (late, read(0))], pre(0), late, t.rtp),
        "tRFC": ([(0, ALL)], act(0), 0, t.rfc),
        "tRFC_pb": ([(0, REFRESH)], act(0), 0, t.rfc_pb),
    }


CASES = [(memory, rule) for memory in ("hbm2", "hbm3") for rule in distances(dram(memory).clocks)]
IMPLIED = {("hbm2", "tRC"), ("hbm2", "tCCD_L")}
"""Never broken alone: HBM2's tRAS and tRP add up to tRC, and its tCCD_S is as long as tCCD_L."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, mapping in MAPS.items():
        directory = tmp_path_factory.mktemp(name)
        (directory / "dram_table.h").write_text(dram_table(mapping))
        (directory / "secded.h").write_text(secded_table())
        found[name] = directory / "script"
        source = Path(__file__).parent / "dram_script.cpp"
        with importlib.resources.as_file(importlib.resources.files("gemel.sim") / "harness") as harness:
            command = ["g++", "-std=c++17", f"-I{directory}", f"-I{harness}", "-o", str(found[name]), str(source)]
            subprocess.run(command, check=True)
    return found


def with_data(trace: Trace, t: Clocks) -> Trace:
    """The trace with its writes' data, each in its clock."""
    clocks = dict(trace)
    for cycle, command in trace:
        if command.column_command == WRITE:
            due = cycle + t.cwl
            clocks[due] = replace(clocks.get(due, Command()), write_valid=1)
    return sorted(clocks.items())


def in_python(mapping: AddressMap, trace: Trace) -> str:
    channel = DramChannel(mapping, 0, np.zeros(1 << 20, np.uint8))
    commands = dict(trace)
    try:
        for cycle in range(trace[-1][0] + 1):
            channel.drive(cycle)
            channel.sample(cycle, commands.get(cycle, Command()))
    except RuleBroken as broken:
        return str(broken)
    return ""


def in_cpp(program: Path, trace: Trace) -> str:
    names = ("row_command", "row_bank", "row", "column_command", "column_bank", "column", "write_valid")
    lines = (" ".join(str(v) for v in (cycle, *(getattr(c, name) for name in names))) for cycle, c in trace)
    done = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def judge(programs: dict[str, Path], memory: str, trace: Trace, *, data: bool = True) -> str:
    """What both models say of the trace: they must agree."""
    trace = with_data(trace, MAPS[memory].dram.clocks) if data else trace
    said = in_python(MAPS[memory], trace)
    assert in_cpp(programs[memory], trace) == said
    return said


@pytest.mark.parametrize(("memory", "rule"), CASES)
def test_one_clock_too_early(programs: dict[str, Path], memory: str, rule: str) -> None:
    before, command, since, clocks = distances(dram(memory).clocks)[rule]
    assert judge(programs, memory, [*before, (since + clocks, command)]) == ""
    said = judge(programs, memory, [*before, (since + clocks - 1, command)])
    assert f": {rule} broken by" in said or ((memory, rule) in IMPLIED and " broken by" in said)
    assert said.endswith(f"{clocks - 1} clocks of {clocks}") or (memory, rule) in IMPLIED


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_rows_and_data(programs: dict[str, Path], memory: str) -> None:
    t = dram(memory).clocks
    said = [
        judge(programs, memory, [(0, act(0)), (t.rc, act(0))]),
        judge(programs, memory, [(0, act(0)), (t.rc, REFRESH)]),
        judge(programs, memory, [(0, act(2)), (t.rc, ALL)]),
        judge(programs, memory, [(5, read(0))]),
        judge(programs, memory, [(0, act(0)), (t.ras, pre(0)), (t.rc, write(0))]),
    ]
    assert [sentence.partition(": ")[2] for sentence in said] == [
        "row open broken by ACTIVATE of bank 0",
        "row open broken by REFRESH of bank 0",
        "row open broken by REFRESH_ALL of bank 2",
        "row closed broken by READ of bank 0",
        "row closed broken by WRITE of bank 0",
    ]
    opened = [(0, act(0)), (t.rc, write(0))]
    end = (t.rc + 2 * t.cwl, Command())
    early = (t.rc + t.cwl - 1, Command(write_valid=1))
    assert judge(programs, memory, [*opened, end], data=False).endswith("tCWL broken by no data of bank 0")
    assert judge(programs, memory, [*opened, early], data=False).endswith("tCWL broken by data of bank 0")


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_every_bank_must_be_refreshed(programs: dict[str, Path], memory: str) -> None:
    """A bank may be eight refreshes behind; each refresh moves its own deadline, an all-bank one all of them."""
    t = dram(memory).clocks
    last = (POSTPONED + 1) * t.refi
    rest = Command()
    assert judge(programs, memory, [(last, rest)]) == ""
    assert judge(programs, memory, [(last + 1, rest)]).endswith("tREFI broken: bank 0 is 9 refreshes behind")
    assert judge(programs, memory, [(10, REFRESH), (last + 1, rest)]).endswith("bank 1 is 9 refreshes behind")
    assert judge(programs, memory, [(10, ALL), (last + 1, rest)]) == ""
    assert judge(programs, memory, [(10, ALL), (last + t.refi + 1, rest)]).endswith("bank 0 is 9 refreshes behind")


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_one_bank_is_refreshed_at_a_time(programs: dict[str, Path], memory: str) -> None:
    t = dram(memory).clocks
    other = replace(REFRESH, row_bank=3)
    assert judge(programs, memory, [(0, REFRESH), (t.rfc_pb, other)]) == ""
    assert ": tRFC_pb broken by REFRESH of bank 3" in judge(programs, memory, [(0, REFRESH), (t.rfc_pb - 1, other)])
    assert judge(programs, memory, [(0, REFRESH), (t.rfc_pb - 1, act(3))]) == ""
    assert ": tRFC broken by REFRESH of bank 3" in judge(programs, memory, [(0, ALL), (t.rfc - 1, other)])


def test_data_may_not_meet_on_the_bus(programs: dict[str, Path]) -> None:
    t = EARLY_BUS.clocks
    opened = [(0, act(0)), (t.faw, act(FAR)), (2 * t.rc, read(0))]
    meets = 2 * t.rc + t.cl - t.cwl
    for offset in (-1, 0, 1):
        said = judge(programs, "early_bus", [*opened, (meets + offset, write(FAR))])
        assert said.endswith("data bus broken by WRITE of bank 1")
    assert judge(programs, "early_bus", [*opened, (meets + t.burst, write(FAR))]) == ""
    assert judge(programs, "early_bus", [*opened, (meets - t.burst, write(FAR))]) == ""
