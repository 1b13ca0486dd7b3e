"""Signatures of the handshakes between blocks: L1 ports, AXI4, instruction issue, semaphores, faults.

Streams follow `amaranth.lib.stream`: a transfer happens in a cycle in which valid and ready are both high; valid
doesn't depend on ready and payload holds while valid waits.
"""

from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.activity import CLASSES
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.isa import FAULT_BITS, RANKS

PC_BITS = 24
"""Width of an instruction index."""

AXI_DATA_BITS = 8 * WORD
SLAVE_ERROR, DECODE_ERROR = 2, 3
"""AXI4's responses: data that check bits can't correct; an address that memory doesn't have."""


def l1_request(config: ChipConfig) -> data.StructLayout:
    """A read of one L1 word: half h (32 bytes) comes from word `addr<h>`, if `en<h>`."""
    bits = ceil_log2(config.l1_words)
    return data.StructLayout({"addr0": bits, "addr1": bits, "en0": 1, "en1": 1})


def l1_write(config: ChipConfig) -> data.StructLayout:
    """A write: half h of `data` goes to word `addr<h>` where `en<h>`; bit 32h + b of `mask` enables its byte b."""
    bits = ceil_log2(config.l1_words)
    return data.StructLayout({"addr0": bits, "addr1": bits, "en0": 1, "en1": 1, "data": 8 * WORD, "mask": WORD})


def l1_read_port(config: ChipConfig) -> wiring.Signature:
    """Initiator side of a read port. `valid` and `data` come, in order, `L1.read_latency` cycles after `req`'s
    transfer; they can't be held back, so the initiator asks only for what it has room for. Halves not enabled hold
    anything. `error`, beside them where L1 has check bits: the data are wrong beyond correction.
    """
    answer = {"valid": In(1), "data": In(data.ArrayLayout(8 * CHUNK, 2))} | ({"error": In(1)} if config.ecc else {})
    return wiring.Signature({"req": Out(stream.Signature(l1_request(config)))} | answer)


def l1_write_port(config: ChipConfig) -> wiring.Signature:
    """Initiator side of a write port: a read whose request is transferred in a later cycle sees the write."""
    return wiring.Signature({"req": Out(stream.Signature(l1_write(config)))})


def issue_payload() -> data.StructLayout:
    """What a unit's queue holds: the instruction's 512 bits with its addresses resolved, and its index."""
    return data.StructLayout({"bits": 512, "pc": PC_BITS})


Issue = stream.Signature(issue_payload())

SEMAPHORE_PAIR = data.StructLayout({"sem0": 5, "count0": 8, "sem1": 5, "count1": 8})
"""Two semaphores and their counts; a count of 0 is none."""

Semaphores = wiring.Signature(
    {"wait": Out(stream.Signature(SEMAPHORE_PAIR)), "signal": Out(stream.Signature(SEMAPHORE_PAIR))}
)
"""A unit's side. `wait` transfers when both counts are there, and takes them; `signal` adds both. A unit drives
`wait` only for an instruction that waits, and gives `signal` once all the instruction wrote is visible."""

RankSignal = stream.Signature(data.StructLayout({"ranks": RANKS, "give": SEMAPHORE_PAIR, "pc": PC_BITS}))
"""Signals for the cores of a launch in a mask of ranks, and the index of the instruction that gives them."""

Fault = wiring.Signature({"valid": Out(1), "code": Out(FAULT_BITS), "pc": Out(PC_BITS), "address": Out(64)})
"""A unit's fault: `valid` rises and holds, with the first fault's record, until `abort` rises."""

ACTIVITY_BITS = CLASSES.bit_length() - 1
MOVED_BITS = 17

Supervision = wiring.Signature(
    {
        "abort": In(1),
        "idle": Out(1),
        "waiting": Out(1),
        "pc": Out(PC_BITS),
        "fault": Out(Fault),
        "start": Out(1),
        "stop": Out(1),
        "activity": Out(ACTIVITY_BITS),
        "moved": Out(MOVED_BITS),
    }
)
"""A unit's side of supervision. `abort` (held for many cycles): drop queued and unfinished work without signalling,
finish what the bus has under way, then be idle. `idle`: nothing queued inside the unit, nothing unfinished, all
writes done (the queue in front of it is the sequencer's to watch). `waiting`: held by semaphores; `pc`: where it is.
`start`/`stop`: one-cycle pulses as an instruction begins (its waits granted) and is done, both in program order, for
traces. For counters: `activity`, the unit's class in this cycle (`gemel_golden.activity`); `moved`, bytes of memory in
the row that a DMA unit begins in this cycle."""

Trace = wiring.Signature(
    {"queued": Out(1), "start": Out(1), "pc": Out(PC_BITS), "stop": Out(1), "stop_pc": Out(PC_BITS)}
)
"""One unit's timeline: `queued`, an instruction goes into its queue; `start`, one begins, with index `pc`; `stop`, one
is done, with index `stop_pc`."""


def axi_read(config: ChipConfig, id_bits: int) -> wiring.Signature:
    """Manager side of AXI4's read channels; 64-byte beats and INCR bursts, so the top drives size and burst."""
    ar = data.StructLayout({"id": id_bits, "addr": config.mem_address_bits, "len": 8})
    r = data.StructLayout({"id": id_bits, "data": AXI_DATA_BITS, "resp": 2, "last": 1})
    return wiring.Signature({"ar": Out(stream.Signature(ar)), "r": In(stream.Signature(r))})


def axi_write(config: ChipConfig, id_bits: int) -> wiring.Signature:
    """Manager side of AXI4's write channels."""
    aw = data.StructLayout({"id": id_bits, "addr": config.mem_address_bits, "len": 8})
    w = data.StructLayout({"data": AXI_DATA_BITS, "strb": WORD, "last": 1})
    b = data.StructLayout({"id": id_bits, "resp": 2})
    return wiring.Signature(
        {"aw": Out(stream.Signature(aw)), "w": Out(stream.Signature(w)), "b": In(stream.Signature(b))}
    )
