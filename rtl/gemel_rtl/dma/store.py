"""The STORE unit: chunks of L1 to rows of memory."""

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import Opcode
from gemel_rtl.activity import classify
from gemel_rtl.dma.bursts import BurstCutter
from gemel_rtl.dma.fetch import RowReader
from gemel_rtl.dma.layouts import LINE, ROW
from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.rows import RowWalker
from gemel_rtl.dma.spread import RowSpreader
from gemel_rtl.dma.supervise import supervise
from gemel_rtl.dma.write_bus import WriteBus
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_write, l1_read_port
from gemel_rtl.l1.l1 import READ_LATENCY
from gemel_rtl.noc.fork import fork
from gemel_rtl.noc.queue import Queue

__all__ = ["StoreUnit"]


class StoreUnit(wiring.Component):
    """Executes STORE (`gemel_golden.dma.store`): 64 bytes a cycle on long rows, one row a cycle when rows are short.

    L1 is read ahead of the bus, and instructions overlap; with one AXI ID, bytes that two rows write end as the later
    one has them. An instruction's waits are granted before its first L1 read; its signals come after all its write
    responses.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `issue`, `l1`, `bus`, `semaphores`, `sup` (see `gemel_rtl.interfaces`).
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_read_port(config)),
                "bus": Out(axi_write(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        clear = ResetInserter(self.sup.abort)
        walker, cutter, retire = RowWalker(Opcode.STORE), BurstCutter(self.config), Retire()
        places, lines = Queue(ROW, self.config.outstanding), Queue(LINE, self.config.outstanding)
        reader, spreader = RowReader(self.config), RowSpreader()
        forked = Module()
        fork(forked, walker.o, [(places.i, 1), (lines.i, 1), (cutter.i, 1)], "row")
        m.submodules.walker = clear(walker)
        m.submodules.cutter = clear(cutter)
        m.submodules.retire = clear(retire)
        m.submodules.places = clear(places)
        m.submodules.lines = clear(lines)
        m.submodules.reader = clear(reader)
        m.submodules.spreader = clear(spreader)
        m.submodules.fork = clear(forked)
        m.submodules.bus = bus = WriteBus(self.config, self.id_bits, self.bus_id)

        row = walker.o.payload
        m.d.comb += [
            places.i.payload.eq(row),
            cutter.i.payload.eq(row),
            lines.i.payload.shift.eq(row.address[:6]),
            lines.i.payload.length.eq(row.length),
        ]
        wiring.connect(m, walker.retiring, retire.i)
        wiring.connect(m, places.o, reader.rows)
        wiring.connect(m, lines.o, spreader.rows)
        wiring.connect(m, reader.o, spreader.words)
        wiring.connect(m, cutter.o, bus.bursts)
        wiring.connect(m, spreader.o, bus.beats)
        wiring.connect(m, reader.l1, wiring.flipped(self.l1))
        wiring.connect(m, bus.bus, wiring.flipped(self.bus))
        m.d.comb += [
            bus.abort.eq(self.sup.abort),
            bus.l1_address.eq(reader.address),
            retire.done.eq(bus.done),
        ]
        settled = Signal(READ_LATENCY + 1)  # L1 reads that were under way when `abort` rose have come in
        m.d.sync += settled.eq(Cat(self.sup.abort, settled))
        supervise(
            m,
            self,
            walker,
            retire,
            bus.idle & (~self.sup.abort | settled[-1]),
            bus.fault,
            wiring.flipped(self.semaphores.signal),
        )
        w = bus.bus.w
        classify(
            m,
            self.sup.activity,
            busy=w.valid & w.ready,
            l1=~w.valid & reader.rows.valid & ~reader.o.valid,
            memory=~bus.idle,
            semaphore=walker.waiting,
            dependence=~self.sup.idle | self.issue.valid,
        )
        return m
