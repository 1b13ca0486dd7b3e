"""Sends what LOAD writes, and its signals, to the cores that its mask names."""

from amaranth.hdl import Module, Mux, ResetInserter, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import INSTRUCTION_BYTES, INSTRUCTIONS, Opcode
from gemel_rtl.dma.layouts import DEPTH
from gemel_rtl.interfaces import PC_BITS, SEMAPHORE_PAIR, l1_write_port
from gemel_rtl.noc.fork import fork
from gemel_rtl.noc.merge import Merge
from gemel_rtl.noc.peers import peer_layout, targets_of
from gemel_rtl.noc.queue import Queue

__all__ = ["Multicast"]

CORES = next(field for field in INSTRUCTIONS[Opcode.LOAD].fields if field.name == "cores")


class Multicast(wiring.Component):
    """Between LOAD's writer, its retirement, and the core: each write and each signal goes to all cores of the mask.

    A write is taken once this core's L1 has it, if the mask names this core, and the network has the copies for
    others. Signals follow the writes of their instruction on the same way, so that a core's semaphores are given when
    the data are in its L1. Rates are those of the L1 port as long as the targets grant.

    Parameters: config.
    Members: `taken`: the unit takes the instruction `bits`; `write` with `written` (the last write of an
    instruction transfers), `signal` with `pc` and `stop` (an instruction is done), as they come; `l1`, `local` and
    `peers` (see `gemel_rtl.noc.peers`), where they go; `team`, `own`: the launch's cores and this one, as masks;
    `abort`: forget the instructions.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        pair = stream.Signature(SEMAPHORE_PAIR)
        super().__init__(
            {
                "taken": In(1),
                "bits": In(8 * INSTRUCTION_BYTES),
                "write": In(l1_write_port(config)),
                "written": In(1),
                "signal": In(pair),
                "pc": In(PC_BITS),
                "stop": In(1),
                "l1": Out(l1_write_port(config)),
                "local": Out(pair),
                "peers": Out(stream.Signature(peer_layout(config))),
                "team": In(config.cores),
                "own": In(config.cores),
                "abort": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        layout = peer_layout(self.config)
        clear = ResetInserter(self.abort)
        writing, giving = Queue(self.config.cores, DEPTH), Queue(self.config.cores, DEPTH)
        forks = Module()
        m.submodules.writing = clear(writing)
        m.submodules.giving = clear(giving)
        m.submodules.merge = merge = Merge(layout, 2)
        copies, signals = merge.i
        wiring.connect(m, merge.o, wiring.flipped(self.peers))

        ranks = Mux(self.bits[:8] == Opcode.LOAD, self.bits[CORES.lsb : CORES.lsb + CORES.width], 0)
        targets = Mux(ranks == 0, self.own, targets_of(self.team, ranks))
        for queue, done in ((writing, self.written), (giving, self.stop)):
            m.d.comb += [
                queue.i.valid.eq(self.taken),
                queue.i.payload.eq(targets),
                queue.o.ready.eq(done),
            ]

        def here(queue: Queue) -> Value:
            return (queue.o.payload & self.own).any()

        def there(queue: Queue) -> Value:
            return queue.o.payload & ~self.own

        fork(forks, self.write.req, [(self.l1.req, here(writing)), (copies, there(writing).any())], "write")
        fork(forks, self.signal, [(self.local, here(giving)), (signals, there(giving).any())], "signal")
        m.submodules.forks = clear(forks)
        m.d.comb += [
            self.l1.req.payload.eq(self.write.req.payload),
            copies.payload.targets.eq(there(writing)),
            copies.payload.message.writes.eq(1),
            copies.payload.message.write.eq(self.write.req.payload),
            self.local.payload.eq(self.signal.payload),
            signals.payload.targets.eq(there(giving)),
            signals.payload.message.give.eq(self.signal.payload),
            signals.payload.message.pc.eq(self.pc),
        ]
        return m
