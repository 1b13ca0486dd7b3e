"""Guards between a core and the buses: bursts that no window allows are answered instead of sent."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FAULT_BITS, FaultCode
from gemel_rtl.interfaces import SLAVE_ERROR, axi_read, axi_write
from gemel_rtl.noc.queue import Queue
from gemel_rtl.windows import Windows, allows

__all__ = ["CAUSES", "REFUSED", "ReadGuard", "WriteGuard"]

REFUSED = 1
"""The response to a burst that no window allows: AXI4's EXOKAY, which no other burst here gets."""

CAUSES = {REFUSED: FaultCode.PROTECTION, SLAVE_ERROR: FaultCode.ECC_MEMORY}
"""What a response means, where it says more than that memory has no such address."""


def note_cause(m: Module, guard: Any, answered: Value, response: Value) -> None:
    """Keep what the first bad response since `clear` means."""
    found = Signal()
    with m.If(answered & (response != 0) & ~found):
        m.d.sync += found.eq(1)
        for code, cause in CAUSES.items():
            with m.If(response == code):
                m.d.sync += guard.cause.eq(cause)
    with m.If(guard.clear):
        m.d.sync += [found.eq(0), guard.cause.eq(0)]


def ports(port: wiring.Signature) -> dict[str, wiring.Member]:
    """The members of a guard."""
    control = {"windows": In(Windows), "isolate": In(1), "idle": Out(1), "clear": In(1), "cause": Out(FAULT_BITS)}
    return {"i": In(port), "o": Out(port), **control}


class ReadGuard(wiring.Component):
    """Passes reads on without delay. A burst that isn't allowed waits for those before it and is answered REFUSED.

    With `isolate`, nothing comes from the manager, which may be in reset, and what is under way is taken from the bus.

    Parameters: config, id_bits.
    Members: `i` (the manager), `o` (the bus), `windows`, `isolate`, `idle` (nothing is under way on the bus); `cause`:
    the fault code of `CAUSES` for the first bad response to the manager since `clear`, if it has one.
    """

    def __init__(self, config: ChipConfig, id_bits: int):
        self.most = 2 * config.outstanding + 1
        super().__init__(ports(axi_read(config, id_bits)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ar, r = self.i.ar, self.i.r
        under_way = Signal(range(self.most + 1))
        refusing = Signal()
        left = Signal(8)
        allowed = allows(m, self.windows, ar.payload.addr, "read", "read")
        sends, refuses = Signal(), Signal()
        m.d.comb += [
            self.idle.eq(under_way == 0),
            sends.eq(allowed & ~refusing & ~self.isolate),
            refuses.eq(ar.valid & ~allowed & ~refusing & self.idle & ~self.isolate),
            self.o.ar.payload.eq(ar.payload),
            self.o.ar.valid.eq(ar.valid & sends),
            ar.ready.eq(Mux(sends, self.o.ar.ready, refuses)),
            r.payload.eq(self.o.r.payload),
            r.valid.eq(self.o.r.valid & ~self.isolate),
            self.o.r.ready.eq(r.ready | self.isolate),
        ]
        with m.If(refusing):
            m.d.comb += [r.valid.eq(1), r.payload.resp.eq(REFUSED), r.payload.last.eq(left == 0)]
            with m.If(r.ready):
                m.d.sync += [left.eq(left - 1), refusing.eq(left != 0)]
        with m.If(refuses):
            m.d.sync += [refusing.eq(1), left.eq(ar.payload.len)]
        with m.If(self.isolate):
            m.d.sync += refusing.eq(0)
        begins = self.o.ar.valid & self.o.ar.ready
        ends = self.o.r.valid & self.o.r.ready & self.o.r.payload.last
        m.d.sync += under_way.eq(under_way + begins - ends)
        note_cause(m, self, r.valid & r.ready, r.payload.resp)
        return m


class WriteGuard(wiring.Component):
    """Passes writes on; beats from the cycle after their address on. A burst that isn't allowed waits for those before
    it; its beats are taken and lost, and the answer is REFUSED.

    With `isolate`, nothing comes from the manager, which may be in reset; beats that the bus is owed go out without
    strobes and answers are taken.

    Parameters: config, id_bits.
    Members: as of `ReadGuard`.
    """

    def __init__(self, config: ChipConfig, id_bits: int):
        self.depth = config.outstanding
        super().__init__(ports(axi_write(config, id_bits)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.owed = owed = Queue(8, self.depth)  # lengths of the bursts whose beats haven't all gone
        aw, w, b = self.i.aw, self.i.w, self.i.b
        under_way = Signal(range(2 * self.depth + 1))
        swallows, answers = Signal(), Signal()
        allowed = allows(m, self.windows, aw.payload.addr, "write", "write")
        sends, refuses = Signal(), Signal()
        m.d.comb += [
            self.idle.eq(under_way == 0),
            sends.eq(allowed & ~swallows & ~answers & ~self.isolate & owed.i.ready & (under_way != 2 * self.depth)),
            refuses.eq(aw.valid & ~allowed & ~swallows & ~answers & self.idle & ~self.isolate),
            self.o.aw.payload.eq(aw.payload),
            self.o.aw.valid.eq(aw.valid & sends),
            aw.ready.eq(Mux(allowed, sends & self.o.aw.ready, refuses)),
            owed.i.payload.eq(aw.payload.len),
            owed.i.valid.eq(self.o.aw.valid & self.o.aw.ready),
        ]
        beat = Signal(8)
        goes = Signal()
        m.d.comb += [
            self.o.w.payload.eq(w.payload),
            self.o.w.valid.eq(w.valid & owed.o.valid),
            w.ready.eq((self.o.w.ready & owed.o.valid) | swallows),
            goes.eq(self.o.w.valid & self.o.w.ready),
            owed.o.ready.eq(goes & self.o.w.payload.last),
            b.payload.eq(self.o.b.payload),
            b.valid.eq(self.o.b.valid & ~self.isolate),
            self.o.b.ready.eq(b.ready | self.isolate),
        ]
        m.d.sync += beat.eq(Mux(goes, Mux(self.o.w.payload.last, 0, beat + 1), beat))
        with m.If(self.isolate):
            m.d.comb += [
                self.o.w.valid.eq(owed.o.valid),
                self.o.w.payload.strb.eq(0),
                self.o.w.payload.last.eq(beat == owed.o.payload),
                w.ready.eq(0),
            ]
            m.d.sync += [swallows.eq(0), answers.eq(0)]
        with m.Else():
            with m.If(refuses):
                m.d.sync += swallows.eq(1)
            with m.If(swallows & w.valid & w.payload.last):
                m.d.sync += [swallows.eq(0), answers.eq(1)]
            with m.If(answers):
                m.d.comb += [b.valid.eq(1), b.payload.resp.eq(REFUSED)]
                with m.If(b.ready):
                    m.d.sync += answers.eq(0)
        begins = self.o.aw.valid & self.o.aw.ready
        ends = self.o.b.valid & self.o.b.ready
        m.d.sync += under_way.eq(under_way + begins - ends)
        note_cause(m, self, b.valid & b.ready, b.payload.resp)
        return m
