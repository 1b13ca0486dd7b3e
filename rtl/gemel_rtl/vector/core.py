"""The vector core: programs of bundles on 32 lanes, between L1 and L1."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import VECTOR_BUNDLES, FaultCode
from gemel_golden.vector_isa import FUNCTION_BASE, PHILOX, Control
from gemel_rtl.activity import classify
from gemel_rtl.interfaces import SEMAPHORE_PAIR, Issue, Semaphores, Supervision, l1_read_port, l1_write_port
from gemel_rtl.l1.read_share import ReadShare
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.vector.flow import Flow
from gemel_rtl.vector.lanes import Lanes
from gemel_rtl.vector.layouts import VECTOR_FIELDS, Access, fields_of, pair
from gemel_rtl.vector.legal import BundleCheck
from gemel_rtl.vector.load import DEPTH, Load, Loading
from gemel_rtl.vector.place import Placer
from gemel_rtl.vector.program import ProgramMemory
from gemel_rtl.vector.scalars import Scalars
from gemel_rtl.vector.scoreboard import WRITERS, Scoreboard
from gemel_rtl.vector.store import BEATS, COUNT_BITS, Store, Storing

__all__ = ["VectorCore"]

SETTLE = 31
"""Cycles of `abort` after which nothing is under way: more than L1's latency and the longest pipeline."""


class State(enum.Enum, shape=3):
    """What becomes of a VECTOR."""

    IDLE = 0
    FETCH = 1
    RUN = 2
    DRAIN = 3
    SIGNAL = 4
    FAULT = 5


class VectorCore(wiring.Component):
    """Executes VECTOR as `gemel_golden.vector.execute` defines it, one instruction at a time.

    A program runs while it is fetched; loads go first on L1's read port. A bundle issues each cycle unless it has not
    come yet, a register it names waits for a result, a unit it needs is taken (a function within
    `FunctionBank.interval` cycles of another, a random vector before the last is written, a store in the cycle after
    another), too many accesses are under way, or it is a FENCE before the stores are done. A fault is the first one in
    program order and stops the issue at once.

    Parameters: config.

    Members
    -------
    issue : In(Issue), VECTORs
    l1_read, l1_write : Out, L1 ports
    semaphores : Out(Semaphores); sup : Out(Supervision)
    busy : Out, pulse, a bundle issued
    awake : Out, its clock is needed beside cycles in which an instruction is offered or an abort holds
    bundle : Out, index of the bundle on hand or, after a fault, at fault
    corrected : Out, pulse, an error in the instruction memory was corrected
    flags : Out(3), pulses: invalid, overflow, saturated; saturated : Out(5), number of codes clamped in a cycle
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "issue": In(Issue),
                "l1_read": Out(l1_read_port(config)),
                "l1_write": Out(l1_write_port(config)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
                "busy": Out(1),
                "awake": Out(1),
                "bundle": Out(range(VECTOR_BUNDLES)),
                "corrected": Out(1),
                "flags": Out(3),
                "saturated": Out(5),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        abort = ResetInserter(self.sup.abort)
        program, flow, scalars = ProgramMemory(self.config), Flow(), Scalars()
        lanes, scoreboard = Lanes(self.config.function_units), Scoreboard()
        load, store = Load(self.config), Store(self.config)
        load_place, store_place = Placer(self.config), Placer(self.config)
        check = BundleCheck()
        parts = {
            "program": program,
            "flow": flow,
            "scalars": scalars,
            "lanes": lanes,
            "scoreboard": scoreboard,
            "load_side": load,
            "store_side": store,
            "load_place": load_place,
            "store_place": store_place,
            "check": check,
        }
        for name, part in parts.items():
            m.submodules[name] = part if name in ("scalars", "check") else abort(part)

        state = Signal(State)
        bits = program.bundle
        f = fields_of(bits)
        legal = Signal()
        m.d.comb += [
            program.read.eq(flow.read & program.present),
            program.index.eq(flow.index),
            flow.present.eq(program.present),
            check.bits.eq(bits),
            legal.eq(~check.illegal & ~flow.illegal & ~flow.beyond & ~program.damaged),
            self.corrected.eq(program.corrected),
        ]

        # Hazards beside registers.
        go, stopped, is_function = Signal(), Signal(), Signal()
        gap = Signal(range(lanes.interval))
        loading, beats = Signal(range(DEPTH + 1)), Signal(range(BEATS + 1))
        after_store, free = Signal(), Signal()
        m.d.comb += [
            is_function.eq((f["op"] >= FUNCTION_BASE) & (f["op"] < PHILOX)),
            free.eq(
                scoreboard.ready
                & ~(is_function & (gap != 0))
                & ~((f["op"] == PHILOX) & lanes.random_busy)
                & ~(f["ld_en"] & (loading == DEPTH))
                & ~(f["st_en"] & (after_store | (beats > BEATS - 2)))
                & ~((f["control"] == Control.FENCE) & (beats != 0))
            ),
            go.eq((state == State.RUN) & flow.valid & legal & free & ~stopped),
            self.busy.eq(go),
        ]
        m.d.sync += [
            loading.eq(loading + (go & f["ld_en"]) - load.done),
            beats.eq(beats + Mux(go & f["st_en"], 2, 0) - store.done),
            after_store.eq(go & f["st_en"]),
            gap.eq(Mux(go & is_function, lanes.interval - 1, Mux(gap != 0, gap - 1, 0))),
        ]

        m.d.comb += [
            flow.issue.eq(go),
            flow.loop.eq(f["control"] == Control.LOOP),
            flow.length.eq(f["imm2"]),
            flow.count.eq(scalars.first),
            scalars.bits.eq(bits),
            scalars.issue.eq(go),
            scalars.element.eq(lanes.element),
            scoreboard.bits.eq(bits),
            scoreboard.issue.eq(go),
            lanes.bits.eq(bits),
            lanes.issue.eq(go),
            lanes.philox.eq(scalars.philox),
            lanes.count.eq(scalars.first),
            scoreboard.load_done.eq(load.done),
            scoreboard.load_rd.eq(load.rd),
            scoreboard.predicate_done.eq(lanes.predicate_done),
            scoreboard.predicate.eq(lanes.predicate),
        ]
        for name in "abc":
            m.d.comb += getattr(lanes, f"scalar_{name}").eq(getattr(scalars, f"operand_{name}"))
        for name in WRITERS[:3]:
            for member in (f"{name}_done", f"{name}_rd"):
                m.d.comb += getattr(scoreboard, member).eq(getattr(lanes, member))

        late = [flow.pc]  # an access's place is known some cycles after its bundle went
        for i in range(1 + load_place.latency):
            late.append(Signal.like(flow.pc, name=f"bundle{i}", reset_less=True))
            m.d.sync += late[-1].eq(late[-2])
        found, address = self._accesses(m, go, f, scalars, lanes, load, store, load_place, store_place)
        drained = lanes.idle & (loading == 0) & (beats == 0)
        m.submodules.read_port = read_port = ReadShare(self.config, 2)
        wiring.connect(m, load.l1, read_port.i[0])
        wiring.connect(m, program.l1, read_port.i[1])
        wiring.connect(m, read_port.o, wiring.flipped(self.l1_read))
        wiring.connect(m, store.l1, wiring.flipped(self.l1_write))
        self._states(m, state, program, flow, scalars, found, address, stopped, legal, check, drained, go, f)
        with m.If(found & (state != State.FAULT)):
            m.d.sync += self.bundle.eq(late[-1])
        with m.Elif(flow.valid & (state == State.RUN)):
            m.d.sync += self.bundle.eq(flow.pc)
        with m.If(self.sup.abort):
            m.d.sync += [loading.eq(0), beats.eq(0), after_store.eq(0), gap.eq(0)]
        m.d.comb += [self.flags.eq(store.flags), self.saturated.eq(store.saturated)]
        accesses = (
            (f["ld_en"] & (loading == DEPTH))
            | (f["st_en"] & (beats > BEATS - 2))
            | ((f["control"] == Control.FENCE) & (beats != 0))
        )
        classify(
            m,
            self.sup.activity,
            busy=go,
            l1=(state == State.FETCH)
            | ((state == State.RUN) & Mux(flow.valid, accesses, program.busy))
            | ((state == State.DRAIN) & ((loading != 0) | (beats != 0) | program.busy)),
            semaphore=self.sup.waiting,
            dependence=(state != State.IDLE) | self.issue.valid,
        )
        return m

    def _accesses(
        self,
        m: Module,
        go: Value,
        f: dict[str, Value],
        scalars: Scalars,
        lanes: Lanes,
        load: Load,
        store: Store,
        load_place: Placer,
        store_place: Placer,
    ) -> tuple[Value, Value]:
        """Loads and stores on their way from the bundle to L1; whether one lies outside, and its address."""
        issued, requested = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.sync += [issued.eq(issued + (go & f["ld_en"])), requested.eq(requested + load.requested)]
        with m.If(self.sup.abort):
            m.d.sync += [issued.eq(0), requested.eq(0)]
        outside = []
        for slot, source, placer, mask in (
            ("ld", scalars.load, load_place, lanes.load_mask),
            ("st", scalars.store, store_place, lanes.store_mask),
        ):
            valid, access = Signal(name=f"{slot}_valid"), Signal(Access, name=f"{slot}_access", reset_less=True)
            m.d.sync += valid.eq(go & f[f"{slot}_en"] & ~self.sup.abort)
            with m.If(go & f[f"{slot}_en"]):
                m.d.sync += [access.eq(source), access.mask.eq(mask)]
                if slot == "st":
                    with m.If(source.element):
                        m.d.sync += access.mask.eq(mask[0])
            m.d.comb += [placer.valid.eq(valid), placer.i.eq(access)]
            outside.append(placer.o_valid & placer.o.outside)
        found, earlier = Signal(), Signal()
        address = Mux(outside[0], load_place.o.address, store_place.o.address)
        m.d.comb += found.eq(outside[0] | outside[1])
        m.d.sync += earlier.eq((earlier | found) & ~self.sup.abort)

        loading = Signal(Loading, reset_less=True)
        with m.If(go & f["ld_en"]):
            m.d.sync += [
                loading.rd.eq(f["ld_reg"]),
                loading.fmt.eq(f["ld_format"]),
                loading.element.eq(f["ld_element"]),
                loading.mask.eq(lanes.load_mask),
            ]
        pipe = Pipeline(m, load_place.valid)
        carried: Any = loading
        for _ in range(load_place.latency):
            pipe.next()
            carried = pipe.carry(carried, name="loading")
        storing = Signal(Storing, reset_less=True)
        with m.If(go & f["st_en"]):
            m.d.sync += [
                storing.fmt.eq(f["st_format"]),
                storing.element.eq(f["st_element"]),
                storing.mask.eq(Mux(f["st_element"], lanes.store_mask[0], lanes.store_mask)),
                storing.saturate.eq(f["st_saturate"]),
                storing.stochastic.eq(f["st_stochastic"]),
                storing.loads.eq(issued + f["ld_en"]),
            ]
        m.d.comb += [
            load.valid.eq(load_place.o_valid & ~load_place.o.outside & ~earlier),
            load.place.eq(load_place.o),
            Value.cast(load.loading).eq(Value.cast(carried)),
            lanes.load_write.eq(load.write),
            lanes.load_rd.eq(load.rd),
            lanes.load_format.eq(load.fmt),
            lanes.load_keep.eq(load.keep),
            Value.cast(lanes.load).eq(Value.cast(load.codes)),
            store.valid.eq(store_place.valid),
            store.storing.eq(storing),
            Value.cast(store.values).eq(Value.cast(lanes.values)),
            Value.cast(store.random).eq(Value.cast(lanes.random)),
            store.place_valid.eq(store_place.o_valid & ~found & ~earlier),
            store.place.eq(store_place.o),
            store.loads.eq(requested),
        ]
        return found, address

    def _states(
        self,
        m: Module,
        state: Any,
        program: ProgramMemory,
        flow: Flow,
        scalars: Scalars,
        outside: Value,
        address: Value,
        stopped: Signal,
        legal: Value,
        check: BundleCheck,
        drained: Value,
        go: Value,
        f: dict[str, Value],
    ) -> None:
        """From the queue's instruction to its signals."""
        bits = self.issue.payload.bits
        given = fields_of(bits, VECTOR_FIELDS)
        run, pc = Signal(reset_less=True), Signal(len(self.sup.pc), reset_less=True)
        signal = Signal(SEMAPHORE_PAIR, reset_less=True)
        waited, granted, take = Signal(), Signal(), Signal()
        waits = (given["wait0_count"] | given["wait1_count"]).any()
        wait, fault = self.semaphores.wait, self.sup.fault
        entry = Signal(range(VECTOR_BUNDLES), reset_less=True)
        m.d.comb += [
            wait.valid.eq((state == State.IDLE) & self.issue.valid & ~self.sup.abort & waits & ~waited),
            pair(wait.payload, given, "wait"),
            granted.eq(~waits | waited | wait.ready),
            take.eq((state == State.IDLE) & self.issue.valid & ~self.sup.abort & granted),
            self.issue.ready.eq(take),
            self.sup.start.eq(take),
            self.sup.waiting.eq(wait.valid & ~wait.ready),
            self.sup.pc.eq(Mux(state == State.IDLE, self.issue.payload.pc, pc)),
            scalars.start.eq(take),
            scalars.arguments.eq(bits),
            program.start.eq(take & (given["fetch"] != 0)),
            program.address.eq(given["program"]),
            program.count.eq(given["fetch"]),
            program.at.eq(given["at"]),
            flow.entry.eq(Mux(state == State.IDLE, given["entry"], entry)),
            self.semaphores.signal.payload.eq(signal),
            fault.pc.eq(pc),
            fault.valid.eq(state == State.FAULT),
            stopped.eq(outside),
        ]

        def stop(code: FaultCode, where: Value | int = 0) -> None:
            m.d.comb += flow.stop.eq(1)
            m.d.sync += [state.eq(State.FAULT), fault.code.eq(code), fault.address.eq(where)]

        def begin() -> None:
            m.d.comb += flow.start.eq(1)
            m.d.sync += state.eq(State.RUN)

        with m.If(take):
            m.d.sync += [run.eq(given["run"]), pc.eq(self.issue.payload.pc), entry.eq(given["entry"]), waited.eq(0)]
            m.d.sync += pair(signal, given, "signal")
        with m.Elif(wait.valid & wait.ready):
            m.d.sync += waited.eq(1)

        with m.Switch(state):
            with m.Case(State.IDLE):
                with m.If(take):
                    with m.If(given["fetch"] != 0):
                        m.d.sync += state.eq(State.FETCH)
                    with m.Elif(given["run"]):
                        begin()
                    with m.Else():
                        m.d.sync += state.eq(State.SIGNAL)
            with m.Case(State.FETCH):
                with m.If(program.outside):
                    stop(FaultCode.L1_ADDRESS, program.outside_address)
                with m.Elif(run):
                    begin()
                with m.Elif(~program.busy):
                    m.d.sync += state.eq(State.SIGNAL)
            with m.Case(State.RUN):
                with m.If(outside):
                    stop(FaultCode.L1_ADDRESS, address)
                with m.Elif(flow.valid & ~legal & drained):
                    with m.If(flow.beyond):
                        stop(FaultCode.ILLEGAL_OPCODE)
                    if self.config.ecc:
                        with m.Elif(program.damaged):
                            stop(FaultCode.ECC_FETCH)
                    with m.Elif(check.illegal):
                        stop(FaultCode.ILLEGAL_FIELD)
                    with m.Else():
                        stop(FaultCode.LOOP_NESTING)
                with m.Elif(go & (f["control"] == Control.HALT)):
                    m.d.comb += flow.stop.eq(1)
                    m.d.sync += state.eq(State.DRAIN)
            with m.Case(State.DRAIN):
                with m.If(outside):
                    stop(FaultCode.L1_ADDRESS, address)
                with m.Elif(drained & ~program.busy):
                    m.d.sync += state.eq(State.SIGNAL)
            with m.Case(State.SIGNAL):
                signals = (signal.count0 | signal.count1).any()
                m.d.comb += self.semaphores.signal.valid.eq(signals)
                with m.If(~signals | self.semaphores.signal.ready):
                    m.d.comb += self.sup.stop.eq(1)
                    m.d.sync += state.eq(State.IDLE)

        settle = Signal(range(SETTLE + 1))
        with m.If(self.sup.abort):
            m.d.sync += [state.eq(State.IDLE), waited.eq(0)]
            with m.If(settle != SETTLE):
                m.d.sync += settle.eq(settle + 1)
        with m.Else():
            m.d.sync += settle.eq(0)
        m.d.comb += self.awake.eq((state != State.IDLE) | (settle != 0))
        m.d.comb += self.sup.idle.eq(Mux(self.sup.abort, settle == SETTLE, state == State.IDLE))
