"""The LOAD unit: rows of memory to chunks of L1."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.align import RowAligner
from gemel_rtl.dma.bursts import BurstCutter
from gemel_rtl.dma.columns import Columns
from gemel_rtl.dma.fill import RowWriter
from gemel_rtl.dma.indexer import Indexer
from gemel_rtl.dma.multicast import Multicast
from gemel_rtl.dma.read_bus import ReadBus
from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.row_queue import RowQueue
from gemel_rtl.dma.rows import RowWalker
from gemel_rtl.dma.supervise import settle, supervise
from gemel_rtl.dma.transpose import Transposer
from gemel_rtl.dma.walks import LOADS
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_read, l1_read_port, l1_write_port
from gemel_rtl.noc.fork import fork
from gemel_rtl.noc.peers import peer_layout

__all__ = ["LoadUnit"]

ROWS_AHEAD = 1024
"""Rows that wait for their data: at one row a cycle, as many cycles of latency."""


class LoadUnit(wiring.Component):
    """Executes LOAD, LOAD_TRANSPOSED, GATHER and IM2COL (`gemel_golden.dma`).

    64 bytes a cycle on long rows, one row a cycle when rows are short.

    Addresses run ahead of the data, into instructions that follow, by up to `config.outstanding` bursts. An
    instruction's waits are granted before its first address; its signals come after its last L1 write. Instructions
    overlap: a row written by one and by a later one is written in this order, but nothing else orders their accesses to
    memory.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `issue`, `l1`, `indices` (L1 read port), `bus`, `semaphores`, `sup` (see `gemel_rtl.interfaces`). Where the
    chip has several cores: `team`, `own`, `peers` of `Multicast`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_write_port(config)),
                "indices": Out(l1_read_port(config)),
                "bus": Out(axi_read(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
            | (_team_members(config) if config.cores > 1 else {})
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        clear = ResetInserter(self.sup.abort)
        walker, cutter, retire = RowWalker(LOADS), BurstCutter(self.config), Retire()
        indexer, aligner, writer = Indexer(self.config), RowAligner(), RowWriter(self.config)
        sources, places = RowQueue(ROWS_AHEAD), RowQueue(ROWS_AHEAD)
        columns, transposer = Columns(), Transposer()
        forked = Module()
        row = indexer.o.payload
        fork(forked, indexer.o, [(sources.i, 1), (columns.i, 1), (cutter.i, row.present)], "row")
        m.submodules.walker = clear(walker)
        m.submodules.indexer = clear(indexer)
        m.submodules.cutter = clear(cutter)
        m.submodules.retire = clear(retire)
        m.submodules.sources = clear(sources)
        m.submodules.places = clear(places)
        m.submodules.columns = clear(columns)
        m.submodules.transposer = clear(transposer)
        m.submodules.aligner = clear(aligner)
        m.submodules.writer = clear(writer)
        m.submodules.fork = clear(forked)
        m.submodules.bus = bus = ReadBus(self.config, self.id_bits, self.bus_id)

        m.d.comb += [stage.i.payload.eq(row) for stage in (sources, columns, cutter)]
        wiring.connect(m, walker.retiring, retire.i)
        wiring.connect(m, walker.indexing, indexer.jobs)
        wiring.connect(m, walker.o, indexer.rows)
        wiring.connect(m, indexer.l1, wiring.flipped(self.indices))
        wiring.connect(m, indexer.fault, writer.index_fault)
        wiring.connect(m, cutter.o, bus.i)
        wiring.connect(m, sources.o, aligner.rows)
        wiring.connect(m, bus.o, aligner.beats)
        wiring.connect(m, columns.o, places.i)
        wiring.connect(m, places.o, writer.rows)
        wiring.connect(m, aligner.o, transposer.i)
        wiring.connect(m, transposer.o, writer.words)
        signal = wiring.flipped(self.semaphores.signal)
        if self.config.cores > 1:
            m.submodules.multicast = multicast = Multicast(self.config)
            wiring.connect(m, writer.l1, multicast.write)
            wiring.connect(m, multicast.l1, wiring.flipped(self.l1))
            wiring.connect(m, multicast.local, signal)
            wiring.connect(m, multicast.peers, wiring.flipped(self.peers))
            m.d.comb += [
                multicast.taken.eq(self.issue.valid & self.issue.ready),
                multicast.bits.eq(self.issue.payload.bits),
                multicast.written.eq(writer.done),
                multicast.pc.eq(retire.pc),
                multicast.stop.eq(retire.stop),
                multicast.team.eq(self.team),
                multicast.own.eq(self.own),
                multicast.abort.eq(self.sup.abort),
            ]
            signal = multicast.signal
        else:
            wiring.connect(m, writer.l1, wiring.flipped(self.l1))
        wiring.connect(m, bus.bus, wiring.flipped(self.bus))
        m.d.comb += [bus.abort.eq(self.sup.abort), cutter.eager.eq(bus.few), retire.done.eq(writer.done)]
        settled = settle(m, self.sup.abort)
        supervise(m, self, walker, retire, bus.idle & settled, writer.fault, signal)
        return m


def _team_members(config: ChipConfig) -> dict[str, wiring.Member]:
    peers = stream.Signature(peer_layout(config))
    return {"team": In(config.cores), "own": In(config.cores), "peers": Out(peers)}
