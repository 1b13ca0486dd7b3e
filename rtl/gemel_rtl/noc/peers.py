"""What cores send each other directly: semaphores' signals, and L1 writes of a LOAD for several cores."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import RANKS
from gemel_rtl.interfaces import PC_BITS, SEMAPHORE_PAIR, l1_write
from gemel_rtl.noc.merge import Merge
from gemel_rtl.noc.slice import Slice

__all__ = ["PeerNetwork", "message_layout", "peer_layout", "ranked", "targets_of"]


def message_layout(config: ChipConfig) -> data.StructLayout:
    """What a core receives: an L1 write if `writes`, else signals for its semaphores by instruction `pc`."""
    return data.StructLayout({"writes": 1, "write": l1_write(config), "give": SEMAPHORE_PAIR, "pc": PC_BITS})


def peer_layout(config: ChipConfig) -> data.StructLayout:
    """What a core sends: a message for each core in the mask `targets`."""
    return data.StructLayout({"targets": config.cores, "message": message_layout(config)})


def ranked(team: Value) -> Value:
    """The ranks of a launch on the cores `team`, as a mask."""
    count = sum((team[c] for c in range(len(team))), start=Value.cast(0))
    return Cat(count > rank for rank in range(RANKS))


def targets_of(team: Value, ranks: Value) -> Value:
    """The cores of a launch on `team` whose ranks are in `ranks`."""
    targets, below = [], Value.cast(0)
    for core in range(len(team)):
        targets.append(team[core] & ranks.bit_select(below, 1) if core else team[0] & ranks[0])
        below = below + team[core]
    return Cat(targets)


class PeerNetwork(wiring.Component):
    """Takes a message for any set of cores from each core and gives each target its copy.

    A sender's messages arrive in its order at every target; a message leaves a sender's register, a cycle after it came
    at the earliest, once all its targets have taken it, each in a cycle of its own if need be. Targets take what
    several cores send in turn. A target that takes whatever it is offered after a while makes this free of deadlock:
    nobody holds one target while it waits for another.

    Parameters: config.
    Members: `i`, `o` (arrays over cores, of streams), `idle` (bit c: nothing that core c sent is still to arrive).
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        n = config.cores
        super().__init__(
            {
                "i": In(stream.Signature(peer_layout(config))).array(n),
                "o": Out(stream.Signature(message_layout(config))).array(n),
                "idle": Out(n),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        n = self.config.cores
        heads = []
        for s in range(n):
            m.submodules[f"sender{s}"] = head = Slice(peer_layout(self.config))
            wiring.connect(m, wiring.flipped(self.i[s]), head.i)
            m.d.comb += self.idle[s].eq(head.empty)
            heads.append(head.o)

        taken = [[Signal(name=f"taken_{s}_{t}") for t in range(n)] for s in range(n)]
        had = [Signal(n, name=f"had{s}") for s in range(n)]
        for t, target in enumerate(self.o):
            m.submodules[f"target{t}"] = merge = Merge(message_layout(self.config), n)
            wiring.connect(m, merge.o, wiring.flipped(target))
            for s in range(n):
                m.d.comb += [
                    merge.i[s].valid.eq(heads[s].valid & heads[s].payload.targets[t] & ~had[s][t]),
                    merge.i[s].payload.eq(heads[s].payload.message),
                    taken[s][t].eq(merge.i[s].valid & merge.i[s].ready),
                ]
        for s in range(n):
            served = Signal(n, name=f"served{s}")
            m.d.comb += [
                served.eq(had[s] | Cat(taken[s])),
                heads[s].ready.eq(~(heads[s].payload.targets & ~served).any()),
            ]
            m.d.sync += had[s].eq(Mux(heads[s].valid & ~heads[s].ready, served, 0))
        return m
