"""A core: sequencer, units, L1, semaphores and their supervision."""

from typing import Any

from amaranth.hdl import Cat, DomainRenamer, Module, Mux, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import SEMAPHORES, VECTOR_BUNDLES, Unit
from gemel_rtl.clock_gate import gated
from gemel_rtl.counters import COUNTS, Counters
from gemel_rtl.dma.load import LoadUnit
from gemel_rtl.dma.store import StoreUnit
from gemel_rtl.interfaces import PC_BITS, axi_read, axi_write, l1_read_port, l1_write, l1_write_port
from gemel_rtl.l1.l1 import L1, REMOTE_READ, REMOTE_WRITE
from gemel_rtl.l1.read_share import ReadShare
from gemel_rtl.launch import Launch
from gemel_rtl.noc.merge import Merge
from gemel_rtl.noc.peers import message_layout, peer_layout, ranked, targets_of
from gemel_rtl.noc.read_merge import ReadMerge
from gemel_rtl.sequencer.decode import UNITS
from gemel_rtl.sequencer.inflight import InFlight
from gemel_rtl.sequencer.semaphores import Semaphores
from gemel_rtl.sequencer.sequencer import Sequencer
from gemel_rtl.sequencer.supervisor import Supervisor
from gemel_rtl.shared import Shared
from gemel_rtl.tensor import TensorCore
from gemel_rtl.vector import VectorCore

__all__ = ["Core", "Trace"]


def _peer_members(config: ChipConfig) -> dict[str, wiring.Member]:
    return {
        "own": In(config.cores),
        "barrier": Out(1),
        "released": In(1),
        "peers": Out(stream.Signature(peer_layout(config))),
        "peers_idle": In(1),
        "message": In(stream.Signature(message_layout(config))),
        "remote_read": In(l1_read_port(config)),
        "remote_write": In(l1_write_port(config)),
    }


Trace = wiring.Signature({"start": Out(1), "pc": Out(PC_BITS), "stop": Out(1), "stop_pc": Out(PC_BITS)})
"""One unit's timeline: `start`, an instruction begins, with index `pc`; `stop`, one is done, with index `stop_pc`."""


class Core(wiring.Component):
    """Runs one program at a time (`gemel_golden.core.Core`).

    Parameters: config; id_bits: width of the buses' IDs.
    Members: `launch`; `fetch_bus`, `load_bus`, `store_bus`; `trace_<unit>`; `<unit>_pc`, `waiting` (bit u: unit u),
    `busy` (bit u: unit u or its queue has work); `launch_cycles`, `flags`, `tensor_busy`, `load_busy`, `store_busy`,
    `vector_busy`, `saturated` of the last launch; `vector_bundle`: the bundle that the vector core is at;
    `semaphore_select`, `semaphore_value`. Where the chip has several cores: `own`, this core's bit in
    a mask of cores; `barrier`, held until `released` (all of the launch's are at one); `peers` and `message`, what goes
    to and comes from other cores; `peers_idle`, all that went has arrived; `remote_read`, `remote_write`: the
    aperture's L1 ports.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2):
        self.config = config
        self.id_bits = id_bits
        units = (Unit.SEQUENCER, *UNITS)
        super().__init__(
            {
                "launch": In(Launch),
                "fetch_bus": Out(axi_read(config, id_bits)),
                "load_bus": Out(axi_read(config, id_bits)),
                "store_bus": Out(axi_write(config, id_bits)),
                "waiting": Out(max(units) + 1),
                "busy": Out(max(units) + 1),
                "vector_bundle": Out(range(VECTOR_BUNDLES)),
                "semaphore_select": In(range(SEMAPHORES)),
                "semaphore_value": Out(8),
            }
            | (_peer_members(config) if config.cores > 1 else {})
            | {f"{unit.name.lower()}_pc": Out(PC_BITS) for unit in units}
            | {f"trace_{unit.name.lower()}": Out(Trace) for unit in UNITS}
            | {name: Out(width) for name, width in COUNTS.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(self.config, id_bits=self.id_bits)
        m.submodules.load_unit = load = LoadUnit(self.config, id_bits=self.id_bits)
        m.submodules.tensor_core = tensor = TensorCore(self.config)
        vector = VectorCore(self.config)
        m.submodules.vector_core = DomainRenamer("vector")(vector)
        m.submodules.store_unit = store = StoreUnit(self.config, id_bits=self.id_bits)
        several = self.config.cores > 1
        m.submodules.l1 = l1 = L1(self.config, remote=several)
        workers = {Unit.LOAD: load, Unit.TENSOR: tensor, Unit.STORE: store, Unit.VECTOR: vector}
        everybody = {Unit.SEQUENCER: sequencer, **workers}
        m.submodules.semaphores = semaphores = Semaphores(len(everybody) + several)
        m.submodules.supervisor = supervisor = Supervisor(tuple(everybody))
        m.submodules.counters = counters = Counters()

        # SCATTER_ADD reads what it adds to beside the program's fetches.
        m.submodules.fetch_merge = fetch_merge = ReadMerge(self.config, 2, id_bits=self.id_bits)
        wiring.connect(m, sequencer.bus, fetch_merge.i[0])
        wiring.connect(m, store.read_bus, fetch_merge.i[1])
        wiring.connect(m, fetch_merge.o, wiring.flipped(self.fetch_bus))
        wiring.connect(m, load.bus, wiring.flipped(self.load_bus))
        wiring.connect(m, store.bus, wiring.flipped(self.store_bus))
        wiring.connect(m, load.l1, l1.load)
        wiring.connect(m, tensor.l1_a, l1.a)
        wiring.connect(m, tensor.l1_b, l1.b)
        wiring.connect(m, tensor.l1_c, l1.c)
        wiring.connect(m, tensor.l1_d, l1.d)
        # Lists of indices are rare reads: they share STORE's port.
        m.submodules.store_port = store_port = ReadShare(self.config, 3)
        for port, initiator in zip(store_port.i, (load.indices, store.indices, store.l1), strict=True):
            wiring.connect(m, initiator, port)
        wiring.connect(m, store_port.o, l1.store)
        # At rest, the vector core only waits for an instruction or an abort.
        gated(m, "vector", vector.awake | vector.issue.valid | vector.sup.abort)
        wiring.connect(m, vector.l1_read, l1.vector)
        wiring.connect(m, vector.l1_write, l1.vector_store)

        launch = self.launch
        m.d.comb += [
            sequencer.start.eq(launch.start),
            sequencer.entry.eq(launch.program),
            sequencer.length.eq(launch.length),
            sequencer.argument.eq(launch.argument),
            sequencer.argument_valid.eq(launch.argument_valid),
            sequencer.go.eq(launch.go),
            supervisor.start.eq(launch.start),
            supervisor.cancel.eq(launch.cancel),
            supervisor.finished.eq(sequencer.done),
            launch.done.eq(supervisor.done),
            launch.fault.eq(supervisor.fault),
            semaphores.clear.eq(launch.start),
            semaphores.select.eq(self.semaphore_select),
            self.semaphore_value.eq(semaphores.value),
        ]
        wiring.connect(m, semaphores.fault, supervisor.semaphores)
        for i, (unit, component) in enumerate(everybody.items()):
            wiring.connect(m, component.sup, getattr(supervisor, f"unit_{i}"))
            wiring.connect(m, component.semaphores, getattr(semaphores, f"port_{i}"))
            source = getattr(semaphores, f"source_pc_{i}")
            if unit == Unit.SEQUENCER:
                m.d.comb += [self.busy[unit].eq(~sequencer.sup.idle), source.eq(sequencer.sup.pc)]
            else:
                m.d.comb += self.busy[unit].eq(self._connect_worker(m, sequencer, unit, component, source))
            m.d.comb += [
                self.waiting[unit].eq(component.sup.waiting),
                getattr(self, f"{unit.name.lower()}_pc").eq(component.sup.pc),
            ]
        m.d.comb += sequencer.units_idle.eq(Cat(component.sup.idle for component in workers.values()).all())
        if several:
            self._connect_peers(m, sequencer, load, semaphores, l1)
        else:
            m.d.comb += [sequencer.ranks.eq(1), sequencer.released.eq(1), sequencer.peers_idle.eq(1)]

        m.d.comb += [
            counters.start.eq(launch.start),
            counters.delivered.eq(sequencer.delivered),
            counters.done.eq(supervisor.done),
            counters.tensor.eq(tensor.busy),
            counters.load.eq(load.bus.r.valid & load.bus.r.ready),
            counters.store.eq(store.bus.w.valid & store.bus.w.ready),
            counters.vector.eq(vector.busy),
            counters.raised.eq(tensor.flags | vector.flags),
            counters.clamped.eq(tensor.saturated + vector.saturated),
            self.vector_bundle.eq(vector.bundle),
        ]
        m.d.comb += [getattr(self, name).eq(getattr(counters, name)) for name in COUNTS]
        return m

    def _connect_peers(self, m: Module, sequencer: Sequencer, load: LoadUnit, semaphores: Semaphores, l1: L1) -> None:
        """What goes to other cores, and what comes from them."""
        port, team = len(UNITS) + 1, self.launch.team[: self.config.cores]
        signal = getattr(semaphores, f"port_{port}").signal
        message, asked = self.message.payload, sequencer.peers.payload
        m.submodules.outgoing = outgoing = Merge(peer_layout(self.config), 2)
        asking, sending = outgoing.i
        give = asking.payload.message
        wiring.connect(m, load.peers, sending)
        wiring.connect(m, outgoing.o, wiring.flipped(self.peers))
        m.submodules.remote_writes = writes = Merge(l1_write(self.config), 2)
        messages, aperture = writes.i
        wiring.connect(m, writes.o, getattr(l1, REMOTE_WRITE).req)
        wiring.connect(m, wiring.flipped(self.remote_write.req), aperture)
        wiring.connect(m, wiring.flipped(self.remote_read), getattr(l1, REMOTE_READ))
        m.d.comb += [
            load.team.eq(team),
            load.own.eq(self.own),
            sequencer.ranks.eq(ranked(team)),
            sequencer.peers_idle.eq(self.peers_idle),
            self.barrier.eq(sequencer.barrier),
            sequencer.released.eq(self.released),
            asking.valid.eq(sequencer.peers.valid),
            sequencer.peers.ready.eq(asking.ready),
            asking.payload.targets.eq(targets_of(team, asked.ranks)),
            give.give.eq(asked.give),
            give.pc.eq(asked.pc),
            messages.valid.eq(self.message.valid & message.writes),
            messages.payload.eq(message.write),
            signal.valid.eq(self.message.valid & ~message.writes),
            signal.payload.eq(message.give),
            getattr(semaphores, f"source_pc_{port}").eq(message.pc),
            self.message.ready.eq(Mux(message.writes, messages.ready, signal.ready)),
        ]

    def _connect_worker(self, m: Module, sequencer: Sequencer, unit: Unit, component: Any, source: Value) -> Value:
        """Issue, timeline and the index of the instruction that signals; whether the unit has work."""
        name = unit.name.lower()
        issue = getattr(sequencer, f"issue_{name}")
        trace = getattr(self, f"trace_{name}")
        wiring.connect(m, issue, component.issue)
        m.submodules[f"in_flight_{name}"] = in_flight = Shared(InFlight(), name="gemel_in_flight")
        m.d.comb += [
            in_flight.taken.eq(issue.valid & issue.ready),
            in_flight.pc.eq(issue.payload.pc),
            in_flight.start.eq(component.sup.start),
            in_flight.stop.eq(component.sup.stop),
            in_flight.clear.eq(component.sup.abort),
            trace.start.eq(component.sup.start),
            trace.pc.eq(in_flight.start_pc),
            trace.stop.eq(component.sup.stop),
            trace.stop_pc.eq(in_flight.stop_pc),
            source.eq(in_flight.stop_pc),
        ]
        return issue.valid | ~component.sup.idle
