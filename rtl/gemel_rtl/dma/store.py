"""The STORE unit: chunks of L1 to rows of memory."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.activity import classify
from gemel_rtl.dma.accumulate import Accumulator
from gemel_rtl.dma.align import RowAligner
from gemel_rtl.dma.bursts import BurstCutter
from gemel_rtl.dma.fetch import RowReader
from gemel_rtl.dma.hazards import Hazards
from gemel_rtl.dma.indexer import Indexer
from gemel_rtl.dma.read_bus import ReadBus
from gemel_rtl.dma.recode import Recoder
from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.row_queue import RowQueue
from gemel_rtl.dma.rows import RowWalker
from gemel_rtl.dma.spread import RowSpreader
from gemel_rtl.dma.supervise import settle, supervise
from gemel_rtl.dma.walks import STORES
from gemel_rtl.dma.write_bus import WriteBus
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_read, axi_write, l1_read_port
from gemel_rtl.noc.fork import fork

__all__ = ["StoreUnit"]


class StoreUnit(wiring.Component):
    """Executes STORE, STORE_CONVERT, SCATTER, SCATTER_ADD and FILL (`gemel_golden.dma`).

    64 bytes a cycle on long rows, one row a cycle when rows are short.

    L1 is read ahead of the bus, and instructions overlap; with one AXI ID, bytes that two rows write end as the later
    one has them. An instruction's waits are granted before its first L1 read; its signals come after all its write
    responses. SCATTER_ADD reads memory on a bus of its own; what an earlier instruction of another kind writes there
    needs a semaphore, as between units.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `issue`, `l1`, `indices` (L1 read ports), `bus`, `read_bus`, `semaphores`,
    `sup` (see `gemel_rtl.interfaces`).
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_read_port(config)),
                "indices": Out(l1_read_port(config)),
                "bus": Out(axi_write(config, id_bits)),
                "read_bus": Out(axi_read(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        clear = ResetInserter(self.sup.abort)
        depth = self.config.outstanding
        walker, retire = RowWalker(STORES), Retire()
        indexer, reader, spreader = Indexer(self.config), RowReader(self.config), RowSpreader()
        places, targets, pending = RowQueue(depth), RowQueue(depth), RowQueue(depth, whole=True)
        cutter, read_cutter = BurstCutter(self.config, alone=True), BurstCutter(self.config)
        sources, aligner, accumulator = RowQueue(depth), RowAligner(), Accumulator()
        recoder = Recoder()
        m.submodules.hazards = hazards = Hazards(self.config)
        m.submodules.bus = bus = WriteBus(self.config, self.id_bits, self.bus_id)
        m.submodules.reads = reads = ReadBus(self.config, self.id_bits, self.bus_id)
        release = Module()
        row = hazards.o.payload
        sums = row.accumulate & row.present
        sinks = [
            (places.i, ~row.beside),
            (targets.i, 1),
            (pending.i, 1),
            (sources.i, row.accumulate),
            (read_cutter.i, sums),
        ]
        fork(release, hazards.o, sinks, "row")
        self._release(release, pending, accumulator, cutter)
        m.submodules.walker = clear(walker)
        m.submodules.indexer = clear(indexer)
        m.submodules.cutter = clear(cutter)
        m.submodules.retire = clear(retire)
        m.submodules.places = clear(places)
        m.submodules.targets = clear(targets)
        m.submodules.pending = clear(pending)
        m.submodules.reader = clear(reader)
        m.submodules.spreader = clear(spreader)
        m.submodules.recoder = clear(recoder)
        m.submodules.sources = clear(sources)
        m.submodules.read_cutter = clear(read_cutter)
        m.submodules.aligner = clear(aligner)
        m.submodules.accumulator = clear(accumulator)
        m.submodules.release = clear(release)

        m.d.comb += [sink.payload.eq(row) for sink, _ in sinks]
        # Rows of scales, which may end the instruction, have no place in L1 and cost its reader no cycle.
        m.d.comb += places.i.payload.last.eq(row.block_last)
        m.d.comb += [reads.abort.eq(self.sup.abort), read_cutter.eager.eq(reads.few)]
        wiring.connect(m, walker.retiring, retire.i)
        wiring.connect(m, walker.indexing, indexer.jobs)
        wiring.connect(m, walker.o, indexer.rows)
        wiring.connect(m, indexer.l1, wiring.flipped(self.indices))
        wiring.connect(m, indexer.fault, bus.index_fault)
        wiring.connect(m, indexer.o, hazards.i)
        wiring.connect(m, places.o, reader.rows)
        wiring.connect(m, targets.o, spreader.rows)
        wiring.connect(m, reader.o, recoder.i)
        wiring.connect(m, recoder.o, accumulator.i)
        wiring.connect(m, read_cutter.o, reads.i)
        wiring.connect(m, sources.o, aligner.rows)
        wiring.connect(m, reads.o, aligner.beats)
        m.d.comb += [
            accumulator.memory.valid.eq(aligner.o.valid),
            accumulator.memory.payload.eq(aligner.o.payload.beat),
            aligner.o.ready.eq(accumulator.memory.ready),
        ]
        wiring.connect(m, accumulator.o, spreader.words)
        wiring.connect(m, accumulator.fault, bus.beat_fault)
        wiring.connect(m, cutter.o, bus.bursts)
        wiring.connect(m, spreader.o, bus.beats)
        wiring.connect(m, reader.l1, wiring.flipped(self.l1))
        wiring.connect(m, bus.bus, wiring.flipped(self.bus))
        wiring.connect(m, reads.bus, wiring.flipped(self.read_bus))
        m.d.comb += [
            bus.abort.eq(self.sup.abort),
            cutter.eager.eq(bus.few),
            accumulator.l1_address.eq(reader.address),
            hazards.free.eq(bus.summed),
            hazards.abort.eq(self.sup.abort),
            retire.done.eq(bus.done),
        ]
        quiet = bus.idle & reads.idle & hazards.idle & settle(m, self.sup.abort)
        supervise(m, self, walker, retire, quiet, bus.fault, wiring.flipped(self.semaphores.signal))
        w = bus.bus.w
        classify(
            m,
            self.sup.activity,
            busy=w.valid & w.ready,
            l1=~w.valid & reader.rows.valid & ~reader.o.valid,
            memory=~bus.idle | ~reads.idle,
            semaphore=walker.waiting,
            dependence=~self.sup.idle | self.issue.valid,
        )
        return m

    def _release(self, m: Module, pending: RowQueue, accumulator: Accumulator, cutter: BurstCutter) -> None:
        """Rows go on to be written; one that is accumulated when its first sum is there, so that the bus never waits
        for memory between an address and its data."""
        started, free = Signal(range(2 * self.config.outstanding)), Signal()
        row = pending.o.payload
        m.d.comb += [
            free.eq(~(row.accumulate & row.present) | (started != 0)),
            cutter.i.payload.eq(row),
            cutter.i.valid.eq(pending.o.valid & free),
            pending.o.ready.eq(cutter.i.ready & free),
        ]
        spent = pending.o.valid & pending.o.ready & row.accumulate & row.present
        m.d.sync += started.eq(started + accumulator.started - spent)
