"""What passes between a ring, the dispatcher and a core: a launch, its arguments and how it ended."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FAULT_BITS
from gemel_rtl.interfaces import PC_BITS
from gemel_rtl.windows import Windows

__all__ = ["Argument", "FaultRecord", "Launch", "RingFault", "ring_launch"]

MAX_CORES = 32
"""Cores that a packet's mask can name."""

Argument = data.StructLayout({"beat": 2, "enable": 8, "words": data.ArrayLayout(64, 8)})
"""64 bytes of arguments: word w of beat b goes to address register 8 b + w + 1, if its bit of `enable` is set."""

FaultRecord = data.StructLayout({"code": FAULT_BITS, "unit": 3, "pc": 32, "address": 64})
"""Why a launch was stopped; code 0: it was not."""

Launch = wiring.Signature(
    {
        "start": Out(1),
        "program": Out(64),
        "length": Out(PC_BITS),
        "windows": Out(Windows),
        "watchdog": Out(32),
        "argument": Out(Argument),
        "argument_valid": Out(1),
        "go": Out(1),
        "cancel": Out(1),
        "team": Out(MAX_CORES),
        "reset": Out(1),
        "resetting": In(1),
        "done": In(1),
        "fault": In(FaultRecord),
    }
)
"""The dispatcher's side. `start`: a pulse with the program's address and length, the windows that its accesses must lie
in and the cycles that it may run (0: any number); fetching begins. Beats of arguments follow; `go`, held from after the
last of them, lets the first instruction execute. `cancel`: a pulse that ends the launch as a fault would. `reset`: a
pulse that resets all of the core but what L1 holds, once the buses have taken or given what is under way; `resetting`
until then, and no `start` meanwhile; a launch under way is done then. `team`, while the launch runs: its cores.
`done`: a pulse when all is drained; `fault` is the record then, and stays until `start`."""

RingFault = data.StructLayout({name: field.shape for name, field in FaultRecord} | {"core": 5})
"""A core's fault record and the core."""


def ring_launch(config: ChipConfig) -> wiring.Signature:
    """A ring's side. `valid` asks for all of `cores` at once, and holds; with `ready`, which may come in the same
    cycle, they are this launch's and fetch the program. Beats of arguments follow, each for `argument_cores`; then `go`
    holds, or `cancel` comes in its place, a pulse. `done`: no core runs it any more, and `fault` is the first fault of
    any of them (code 0: there was none).
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "cores": Out(config.cores),
            "program": Out(64),
            "length": Out(PC_BITS),
            "windows": Out(Windows),
            "watchdog": Out(32),
            "argument": Out(Argument),
            "argument_cores": Out(config.cores),
            "go": Out(1),
            "cancel": Out(1),
            "done": In(1),
            "fault": In(RingFault),
        }
    )
