"""A core: sequencer, units, L1, semaphores and their supervision."""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import SEMAPHORES, VECTOR_BUNDLES, Unit
from gemel_rtl.clock_gate import gated
from gemel_rtl.counters import COUNTS, Counters
from gemel_rtl.dma.load import LoadUnit
from gemel_rtl.dma.store import StoreUnit
from gemel_rtl.interfaces import PC_BITS, Trace, axi_read, axi_write, l1_read_port, l1_write, l1_write_port
from gemel_rtl.l1.l1 import L1, READ_PORTS, REMOTE_READ, REMOTE_WRITE
from gemel_rtl.l1.read_share import ReadShare
from gemel_rtl.launch import Launch
from gemel_rtl.noc.guard import ReadGuard, WriteGuard
from gemel_rtl.noc.merge import Merge
from gemel_rtl.noc.peers import message_layout, peer_layout, ranked, targets_of
from gemel_rtl.noc.read_merge import ReadMerge
from gemel_rtl.sequencer.decode import UNITS
from gemel_rtl.sequencer.inflight import InFlight
from gemel_rtl.sequencer.legality import any_of
from gemel_rtl.sequencer.semaphores import Semaphores
from gemel_rtl.sequencer.sequencer import Sequencer
from gemel_rtl.sequencer.supervisor import Supervisor
from gemel_rtl.shared import Shared
from gemel_rtl.tensor import TensorCore
from gemel_rtl.vector import VectorCore
from gemel_rtl.watch import SEEN, Watch
from gemel_rtl.windows import Windows

__all__ = ["Core"]

LEAST_RESET = 4
"""Cycles that a core's reset lasts at least."""


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


class Core(wiring.Component):
    """Runs one program at a time (`gemel_golden.core.Core`).

    Parameters: config; id_bits: width of the buses' IDs.
    Members: `launch`; `fetch_bus`, `load_bus`, `store_bus`; `trace_<unit>`; `<unit>_pc`, `waiting` (bit u: unit u),
    `busy` (bit u: unit u or its queue has work); `launch_cycles`, `flags`, `tensor_busy`, `load_busy`, `store_busy`,
    `vector_busy`, `saturated` of the last launch; `vector_bundle`: the bundle that the vector core is at;
    `semaphore_select`, `semaphore_value`; `counter_select`, `counter_lo`, `counter_hi`: a counter by its number. Where
    the chip has several cores: `own`, this core's bit in a mask of cores; `barrier`, held until `released` (all of the
    launch's are at one); `peers` and `message`, what goes to and comes from other cores; `peers_idle`, all that went
    has arrived; `remote_read`, `remote_write`: the aperture's L1 ports.
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
                "counter_select": In(8),
                "counter_lo": Out(32),
                "counter_hi": Out(32),
            }
            | (_peer_members(config) if config.cores > 1 else {})
            | {f"{unit.name.lower()}_pc": Out(PC_BITS) for unit in units}
            | {f"trace_{unit.name.lower()}": Out(Trace) for unit in UNITS}
            | {name: Out(width) for name, width in COUNTS.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        idle_buses, abandoned = Signal(), Signal()
        self._restart(m, idle_buses, abandoned)
        inside = DomainRenamer("core")  # all but the guards and L1, which other cores may be using
        sequencer = Sequencer(self.config, id_bits=self.id_bits)
        m.submodules.sequencer = inside(sequencer)
        load = LoadUnit(self.config, id_bits=self.id_bits)
        m.submodules.load_unit = inside(load)
        tensor = TensorCore(self.config)
        m.submodules.tensor_core = inside(tensor)
        vector = VectorCore(self.config)
        m.submodules.vector_core = DomainRenamer("vector")(vector)
        store = StoreUnit(self.config, id_bits=self.id_bits)
        m.submodules.store_unit = inside(store)
        several = self.config.cores > 1
        m.submodules.l1 = l1 = L1(self.config, remote=several)
        workers = {Unit.LOAD: load, Unit.TENSOR: tensor, Unit.STORE: store, Unit.VECTOR: vector}
        everybody = {Unit.SEQUENCER: sequencer, **workers}
        semaphores = Semaphores(len(everybody) + several)
        m.submodules.semaphores = inside(semaphores)
        supervisor = Supervisor(tuple(everybody))
        m.submodules.supervisor = inside(supervisor)
        counters = Counters(self.config)
        m.submodules.counters = inside(counters)

        self._guards(m, sequencer, load, store, supervisor, idle_buses)
        wiring.connect(m, load.l1, l1.load)
        wiring.connect(m, tensor.l1_a, l1.a)
        wiring.connect(m, tensor.l1_b, l1.b)
        wiring.connect(m, tensor.l1_c, l1.c)
        wiring.connect(m, tensor.l1_d, l1.d)
        # Lists of indices are rare reads: they share STORE's port.
        store_port = ReadShare(self.config, 3)
        m.submodules.store_port = inside(store_port)
        for port, initiator in zip(store_port.i, (load.indices, store.indices, store.l1), strict=True):
            wiring.connect(m, initiator, port)
        wiring.connect(m, store_port.o, l1.store)
        # At rest, the vector core only waits for an instruction or an abort.
        gated(m, "vector", vector.awake | vector.issue.valid | vector.sup.abort, "core")
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
            launch.done.eq(supervisor.done | abandoned),
            launch.fault.eq(supervisor.fault),
            semaphores.clear.eq(launch.start),
            semaphores.select.eq(self.semaphore_select),
            self.semaphore_value.eq(semaphores.value),
        ]
        wiring.connect(m, semaphores.fault, supervisor.semaphores)
        self._watch(m, everybody, supervisor, counters, l1, store_port)
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
                getattr(counters, f"{unit.name.lower()}_activity").eq(component.sup.activity),
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
            counters.saturated_now.eq(tensor.saturated + vector.saturated),
            counters.load_bytes_now.eq(load.sup.moved),
            counters.load_beats_now.eq(counters.load),
            counters.load_bursts_now.eq(counters.asked),
            counters.store_bytes_now.eq(store.sup.moved),
            counters.store_beats_now.eq(counters.store),
            counters.store_bursts_now.eq(store.bus.aw.valid & store.bus.aw.ready),
            counters.asked.eq(load.bus.ar.valid & load.bus.ar.ready),
            counters.beat.eq(counters.load),
            counters.last_beat.eq(load.bus.r.payload.last),
            counters.select.eq(self.counter_select),
            Cat(self.counter_lo, self.counter_hi).eq(counters.value),
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

    def _restart(self, m: Module, idle_buses: Signal, abandoned: Signal) -> None:
        """The domain "core", reset on request for some cycles and until nothing is under way on the buses.

        `abandoned`: a launch ends so.
        """
        domain = ClockDomain("core", local=True)
        m.domains += domain
        running = Signal()
        left = Signal(range(LEAST_RESET + 1))
        ends = Signal()
        m.d.comb += [
            domain.clk.eq(ClockSignal()),
            domain.rst.eq(ResetSignal() | self.launch.resetting),
            ends.eq(self.launch.resetting & (left == 0) & idle_buses),
            abandoned.eq(ends & running),
        ]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(ends):
            m.d.sync += self.launch.resetting.eq(0)
        with m.If(self.launch.reset):
            m.d.sync += [self.launch.resetting.eq(1), left.eq(LEAST_RESET)]
        with m.If(self.launch.done):
            m.d.sync += running.eq(0)
        with m.If(self.launch.start):
            m.d.sync += running.eq(1)

    def _guards(
        self, m: Module, sequencer: Sequencer, load: LoadUnit, store: StoreUnit, supervisor: Supervisor, idle: Signal
    ) -> None:
        """The guards between the units and the buses; what they find goes to the supervisor."""
        # SCATTER_ADD reads what it adds to beside the program's fetches.
        m.submodules.fetch_merge = fetch_merge = ReadMerge(self.config, 2, id_bits=self.id_bits)
        wiring.connect(m, fetch_merge.o, wiring.flipped(self.fetch_bus))
        reads = {
            "fetch": (Unit.SEQUENCER, sequencer.bus, fetch_merge.i[0]),
            "load": (Unit.LOAD, load.bus, wiring.flipped(self.load_bus)),
            "add": (Unit.STORE, store.read_bus, fetch_merge.i[1]),
        }
        windows = Signal(Windows)
        with m.If(self.launch.start):
            m.d.sync += windows.eq(self.launch.windows)
        guards: list[Any] = []
        found: dict[Unit, list[Value]] = {}
        for name, (unit, inner, outer) in (
            reads | {"store": (Unit.STORE, store.bus, wiring.flipped(self.store_bus))}
        ).items():
            guard = ReadGuard(self.config, self.id_bits) if name in reads else WriteGuard(self.config, self.id_bits)
            m.submodules[f"guard_{name}"] = guard
            wiring.connect(m, inner, guard.i)
            wiring.connect(m, guard.o, outer)
            m.d.comb += [
                guard.windows.eq(windows),
                guard.isolate.eq(self.launch.resetting),
                guard.clear.eq(self.launch.start),
            ]
            guards.append(guard)
            found.setdefault(unit, []).append(guard.cause)
        for i, unit in enumerate(supervisor.units):
            if unit in found:
                m.d.comb += getattr(supervisor, f"cause_{i}").eq(any_of(found[unit]))
        m.d.comb += idle.eq(Cat(guard.idle for guard in guards).all())

    def _watch(
        self,
        m: Module,
        everybody: dict[Unit, Any],
        supervisor: Supervisor,
        counters: Counters,
        l1: L1,
        store_port: ReadShare,
    ) -> None:
        """What the units can't see themselves, and how many errors were corrected."""
        watch = Watch(self.config.ecc)
        m.submodules.watch = DomainRenamer("core")(watch)
        wiring.connect(m, watch.fault, supervisor.watch)
        corrected = everybody[Unit.SEQUENCER].corrected + everybody[Unit.VECTOR].corrected
        m.d.comb += [
            watch.start.eq(self.launch.start),
            watch.limit.eq(self.launch.watchdog),
            watch.clear.eq(self.launch.done),
            supervisor.watched.eq(watch.unit),
            counters.ecc_corrected_now.eq(corrected + l1.corrected if self.config.ecc else corrected),
            *(getattr(watch, f"{unit.name.lower()}_pc").eq(everybody[unit].sup.pc) for unit in (Unit.SEQUENCER, *SEEN)),
        ]
        if self.config.ecc:
            own = l1.error.ports[: len(READ_PORTS)]  # what other cores read is theirs
            m.d.comb += [watch.error.ports.eq(own), watch.error.address.eq(l1.error.address)]
            m.d.comb += watch.listing.eq(store_port.owner[0])

    def _connect_worker(self, m: Module, sequencer: Sequencer, unit: Unit, component: Any, source: Value) -> Value:
        """Issue, timeline and the index of the instruction that signals; whether the unit has work."""
        name = unit.name.lower()
        issue = getattr(sequencer, f"issue_{name}")
        trace = getattr(self, f"trace_{name}")
        wiring.connect(m, issue, component.issue)
        in_flight = Shared(InFlight(), name="gemel_in_flight")
        m.submodules[f"in_flight_{name}"] = DomainRenamer("core")(in_flight)
        m.d.comb += [
            in_flight.taken.eq(issue.valid & issue.ready),
            in_flight.pc.eq(issue.payload.pc),
            in_flight.start.eq(component.sup.start),
            in_flight.stop.eq(component.sup.stop),
            in_flight.clear.eq(component.sup.abort),
            trace.queued.eq(getattr(sequencer, f"queued_{name}")),
            trace.start.eq(component.sup.start),
            trace.pc.eq(in_flight.start_pc),
            trace.stop.eq(component.sup.stop),
            trace.stop_pc.eq(in_flight.stop_pc),
            source.eq(in_flight.stop_pc),
        ]
        return issue.valid | ~component.sup.idle
