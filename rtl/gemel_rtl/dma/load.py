"""The LOAD unit: rows of memory to chunks of L1."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import Opcode
from gemel_rtl.activity import classify
from gemel_rtl.dma.bursts import BurstCutter
from gemel_rtl.dma.fill import RowWriter
from gemel_rtl.dma.layouts import ROW
from gemel_rtl.dma.multicast import Multicast
from gemel_rtl.dma.read_bus import ReadBus
from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.rows import RowWalker
from gemel_rtl.dma.supervise import supervise
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_read, l1_write_port
from gemel_rtl.noc.fork import fork
from gemel_rtl.noc.peers import peer_layout
from gemel_rtl.noc.queue import Queue

__all__ = ["LoadUnit"]


class LoadUnit(wiring.Component):
    """Executes LOAD (`gemel_golden.dma.load`): 64 bytes a cycle on long rows, one row a cycle when rows are short.

    Addresses run ahead of the data, into instructions that follow, by up to `config.outstanding` bursts. An
    instruction's waits are granted before its first address; its signals come after its last L1 write. Instructions
    overlap: a row written by one and by a later one is written in this order, but nothing else orders their accesses to
    memory.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `issue`, `l1`, `bus`, `semaphores`, `sup` (see `gemel_rtl.interfaces`). Where the chip has
    several cores: `team`, `own`, `peers` of `Multicast`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_write_port(config)),
                "bus": Out(axi_read(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
            | (_team_members(config) if config.cores > 1 else {})
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        clear = ResetInserter(self.sup.abort)
        walker, cutter, retire = RowWalker(Opcode.LOAD), BurstCutter(self.config), Retire()
        queue, writer = Queue(ROW, self.config.outstanding), RowWriter(self.config)
        forked = Module()
        fork(forked, walker.o, [(queue.i, 1), (cutter.i, walker.o.payload.present)], "row")
        m.submodules.walker = clear(walker)
        m.submodules.cutter = clear(cutter)
        m.submodules.retire = clear(retire)
        m.submodules.queue = clear(queue)
        m.submodules.writer = clear(writer)
        m.submodules.fork = clear(forked)
        m.submodules.bus = bus = ReadBus(self.config, self.id_bits, self.bus_id)

        m.d.comb += [queue.i.payload.eq(walker.o.payload), cutter.i.payload.eq(walker.o.payload)]
        wiring.connect(m, walker.retiring, retire.i)
        wiring.connect(m, cutter.o, bus.i)
        wiring.connect(m, queue.o, writer.rows)
        wiring.connect(m, bus.o, writer.beats)
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
        m.d.comb += [bus.abort.eq(self.sup.abort), retire.done.eq(writer.done)]
        supervise(m, self, walker, retire, bus.idle, writer.fault, signal)
        beat, word = bus.bus.r.valid & bus.bus.r.ready, writer.l1.req
        classify(
            m,
            self.sup.activity,
            busy=beat | (bus.idle & word.valid & word.ready),
            l1=word.valid & ~word.ready,
            memory=~bus.idle,
            semaphore=walker.waiting,
            dependence=~self.sup.idle | self.issue.valid,
        )
        return m


def _team_members(config: ChipConfig) -> dict[str, wiring.Member]:
    peers = stream.Signature(peer_layout(config))
    return {"team": In(config.cores), "own": In(config.cores), "peers": Out(peers)}
