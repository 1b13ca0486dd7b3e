"""The sequencer: fetches a program, executes its control instructions and hands the others to the units' queues."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import INSTRUCTIONS, RANKS, SYNC_FIELDS, FaultCode, Field, Opcode
from gemel_rtl.activity import classify
from gemel_rtl.interfaces import PC_BITS, Issue, RankSignal, Semaphores, Supervision, axi_read
from gemel_rtl.launch import Argument
from gemel_rtl.noc.guard import CAUSES
from gemel_rtl.sequencer.addresses import AddressRegisters
from gemel_rtl.sequencer.decode import UNITS, Decode
from gemel_rtl.sequencer.fetch import Fetch
from gemel_rtl.sequencer.loops import LoopStack
from gemel_rtl.sequencer.queue import Queue
from gemel_rtl.sequencer.resolve import Resolve
from gemel_rtl.shared import Shared

__all__ = ["Sequencer"]


class State(enum.Enum, shape=4):
    """What the sequencer does."""

    IDLE = 0
    FETCH = 1
    DECODE = 2
    EXECUTE = 3
    WAIT = 4
    SIGNAL = 5
    DRAIN = 6
    FAULT = 7
    BARRIER = 8
    PEERS = 9


def _field(opcode: Opcode, name: str) -> Field:
    return next(f for f in INSTRUCTIONS[opcode].fields if f.name == name)


class Sequencer(wiring.Component):
    """Executes a program: `gemel_golden.core.Core` is its definition.

    An instruction in the window takes two cycles (decode, execute), one with more than two address slots four, and a
    synchronising NOP one or two more; an END that jumps back within the window costs two cycles too. HALT and FENCE
    wait until all queues are empty and `units_idle` is high.

    Parameters: config; id_bits, bus_id: width and value of ARID.
    Members: `start` with `entry` (the address of instruction 0) and `length` begins fetching; `argument` beats fill
    address registers; nothing executes before `go` is high. `done`: a pulse as HALT finds all drained.
    `ranks`: the launch's, as a mask; `peers`: SIGNAL's; `barrier`: held at a BARRIER until `released`.
    `peers_idle`: nothing that this core sent to others is still to arrive.
    `issue_<unit>`: the units' queues; `queued_<unit>`: an instruction goes into it. `units_idle`: every unit
    is idle. `semaphores`, `sup` (see `gemel_rtl.interfaces`; after an abort it is idle). `delivered`: an instruction
    came from memory. `corrected`: an error in the window was corrected. `bus`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 1):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "start": In(1),
                "entry": In(64),
                "length": In(PC_BITS),
                "argument": In(Argument),
                "argument_valid": In(1),
                "go": In(1),
                "done": Out(1),
                "units_idle": In(1),
                "ranks": In(RANKS),
                "peers": Out(RankSignal),
                "barrier": Out(1),
                "released": In(1),
                "peers_idle": In(1),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
                "delivered": Out(1),
                "corrected": Out(1),
                "bus": Out(axi_read(config, id_bits)),
            }
            | {f"issue_{unit.name.lower()}": Out(Issue) for unit in UNITS}
            | {f"queued_{unit.name.lower()}": Out(1) for unit in UNITS}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        m.submodules.decode = decode = Decode()
        m.submodules.registers = registers = AddressRegisters()
        m.submodules.resolve = resolve = Resolve()
        m.submodules.loops = loops = LoopStack(self.config.fetch_depth)
        wiring.connect(m, fetch.bus, wiring.flipped(self.bus))

        state = Signal(State)
        pc = Signal(PC_BITS)
        follower = Signal(PC_BITS)
        origin = Signal(64, reset_less=True)
        length = Signal(PC_BITS, reset_less=True)
        bits = fetch.instruction
        drained = Signal()
        executing = Signal()
        full = Signal()

        queues = []
        for unit in UNITS:
            queue = Shared(Queue(self.config.queue_depth), name="gemel_queue")
            m.submodules[f"queue_{unit.name.lower()}"] = queue
            wiring.connect(m, queue.o, wiring.flipped(getattr(self, f"issue_{unit.name.lower()}")))
            m.d.comb += [
                queue.i.payload.bits.eq(resolve.resolved),
                queue.i.payload.pc.eq(pc),
                queue.clear.eq(self.sup.abort),
                getattr(self, f"queued_{unit.name.lower()}").eq(queue.i.valid & queue.i.ready),
            ]
            queues.append(queue)
        m.d.comb += drained.eq(Cat(queue.empty for queue in queues).all() & self.units_idle & self.peers_idle)

        m.d.comb += [
            follower.eq(pc + 1),
            executing.eq(state == State.EXECUTE),
            fetch.start.eq(self.start),
            fetch.entry.eq(self.entry),
            fetch.length.eq(self.length),
            fetch.waiting.eq(state == State.FETCH),
            fetch.pc.eq(pc),
            fetch.keep.eq(loops.keep),
            fetch.index.eq(pc),
            self.delivered.eq(fetch.delivered),
            self.corrected.eq(fetch.corrected),
            decode.bits.eq(bits),
            registers.clear.eq(self.start),
            registers.argument.eq(self.argument),
            registers.argument_valid.eq(self.argument_valid),
            loops.pc.eq(pc),
            loops.clear.eq(self.start),
            loops.start.eq(follower),
        ]

        # Decode: everything that execution looks at is registered in this cycle.
        fault_code = Signal(len(self.sup.fault.code), reset_less=True)
        operation = {opcode: Signal(name=f"do_{opcode.name.lower()}", reset_less=True) for opcode in decode.own}
        units = Signal(len(UNITS), reset_less=True)
        slots = Signal(len(decode.slots), reset_less=True)
        masks = [(opcode, _field(opcode, "cores")) for opcode in INSTRUCTIONS if _has_cores(opcode)]
        strangers = Signal()  # a mask names a rank that the launch hasn't
        for opcode, mask in masks:
            with m.If(bits[:8] == opcode):
                m.d.comb += strangers.eq((_slice(bits, mask) & ~self.ranks).any())
        with m.If(state == State.DECODE):
            m.d.sync += [units.eq(decode.units), slots.eq(decode.slots)]
            m.d.sync += [signal.eq(decode.is_own(opcode)) for opcode, signal in operation.items()]
            m.d.sync += fault_code.eq(
                Mux(
                    fetch.error.any(),
                    FaultCode.FETCH,
                    Mux(
                        decode.known,
                        Mux(decode.illegal | strangers, FaultCode.ILLEGAL_FIELD, FaultCode.NONE),
                        FaultCode.ILLEGAL_OPCODE,
                    ),
                )
            )
            for response, cause in CAUSES.items():
                with m.If(fetch.error == response):
                    m.d.sync += fault_code.eq(cause)
            with m.If(fetch.damaged):
                m.d.sync += fault_code.eq(FaultCode.ECC_FETCH)

        # Execute.
        x = Signal(64, reset_less=True)
        y = Signal(64, reset_less=True)
        rd, imm, count = _field(Opcode.SET, "rd"), _field(Opcode.SET, "imm"), _field(Opcode.LOOP, "count")
        m.d.sync += [x.eq(registers.x), y.eq(registers.y)]
        m.d.comb += [
            registers.rs1.eq(resolve.rs1),
            registers.rs2.eq(resolve.rs2),
            registers.rd.eq(_slice(bits, rd)),
            registers.value.eq(x + y + _slice(bits, imm)),
            loops.count.eq(_slice(bits, count)),
            resolve.bits.eq(bits),
            resolve.slots.eq(slots),
            resolve.idle.eq(~executing),
            resolve.x.eq(x),
            resolve.y.eq(y),
        ]
        sync = {field.name: _slice(bits, field) for field in SYNC_FIELDS}
        for kind in ("wait", "signal"):
            pair = getattr(self.semaphores, kind).payload
            for i in (0, 1):
                m.d.comb += [pair[f"sem{i}"].eq(sync[f"{kind}{i}"]), pair[f"count{i}"].eq(sync[f"{kind}{i}_count"])]
        waits = (sync["wait0_count"] | sync["wait1_count"]).any()
        signals = (sync["signal0_count"] | sync["signal1_count"]).any()

        alone = self.config.cores == 1  # the only rank's semaphores are this core's
        signalling = State.SIGNAL if alone else Mux(operation[Opcode.SIGNAL], State.PEERS, State.SIGNAL)
        m.d.comb += [
            self.peers.payload.ranks.eq(_slice(bits, _field(Opcode.SIGNAL, "cores"))),
            self.peers.payload.give.eq(self.semaphores.signal.payload),
            self.peers.payload.pc.eq(pc),
        ]

        fault = self.sup.fault
        address = Signal(64)
        m.d.comb += [fault.pc.eq(pc), address.eq(origin + (pc << 6)), self.sup.pc.eq(pc)]

        def advance(to: Signal = follower) -> None:
            """Go to instruction `to`, without a cycle between if the window has it."""
            m.d.comb += [fetch.index.eq(to), fetch.read.eq(fetch.available)]
            m.d.sync += [pc.eq(to), state.eq(Mux(fetch.available, State.DECODE, State.FETCH))]

        def stop(code: FaultCode | Signal, where: Value | int = 0) -> None:
            m.d.sync += [state.eq(State.FAULT), fault.code.eq(code), fault.address.eq(where)]

        with m.Switch(state):
            with m.Case(State.FETCH):
                m.d.comb += fetch.read.eq(fetch.available & self.go)
                with m.If(self.go):
                    with m.If(pc == length):
                        stop(FaultCode.ILLEGAL_OPCODE)
                    with m.Elif(fetch.available):
                        m.d.sync += state.eq(State.DECODE)
                    with m.Elif(fetch.unreachable):
                        stop(FaultCode.FETCH, address)
            with m.Case(State.DECODE):
                m.d.sync += state.eq(State.EXECUTE)
            with m.Case(State.EXECUTE):
                with m.If(fault_code != FaultCode.NONE):
                    stop(fault_code, Mux((fault_code == FaultCode.FETCH) | fetch.error.any(), address, 0))
                with m.Elif(operation[Opcode.SET]):
                    m.d.comb += registers.write.eq(1)
                    advance()
                with m.Elif(operation[Opcode.LOOP]):
                    with m.If(loops.full):
                        stop(FaultCode.LOOP_NESTING)
                    with m.Else():
                        m.d.comb += loops.push.eq(1)
                        advance()
                with m.Elif(operation[Opcode.END]):
                    with m.If(loops.empty):
                        stop(FaultCode.LOOP_NESTING)
                    with m.Else():
                        m.d.comb += loops.turn.eq(1)
                        with m.If(loops.again):
                            advance(loops.target)
                        with m.Else():
                            advance()
                with m.Elif(operation[Opcode.NOP] | operation[Opcode.SIGNAL]):
                    with m.If(waits):
                        m.d.sync += state.eq(State.WAIT)
                    with m.Elif(signals):
                        m.d.sync += state.eq(signalling)
                    with m.Else():
                        advance()
                with m.Elif(operation[Opcode.HALT] | operation[Opcode.FENCE] | operation[Opcode.BARRIER]):
                    m.d.sync += state.eq(State.DRAIN)
                with m.Elif(resolve.last):
                    for i, queue in enumerate(queues):
                        m.d.comb += queue.i.valid.eq(units[i])
                    with m.If(Cat(queue.i.ready & units[i] for i, queue in enumerate(queues)).any()):
                        advance()
                    with m.Else():
                        m.d.comb += full.eq(1)
                with m.Else():
                    m.d.comb += resolve.next.eq(1)
            with m.Case(State.WAIT):
                m.d.comb += self.semaphores.wait.valid.eq(1)
                with m.If(self.semaphores.wait.ready):
                    with m.If(signals):
                        m.d.sync += state.eq(signalling)
                    with m.Else():
                        advance()
            with m.Case(State.SIGNAL):
                m.d.comb += self.semaphores.signal.valid.eq(1)
                with m.If(self.semaphores.signal.ready):
                    advance()
            with m.Case(State.PEERS):
                m.d.comb += self.peers.valid.eq(1)
                with m.If(self.peers.ready):
                    advance()
            with m.Case(State.BARRIER):
                m.d.comb += self.barrier.eq(1)
                with m.If(self.released):
                    advance()
            with m.Case(State.DRAIN):
                with m.If(drained):
                    with m.If(operation[Opcode.HALT]):
                        m.d.comb += [self.done.eq(1), fetch.stop.eq(1)]
                        m.d.sync += state.eq(State.IDLE)
                    with m.Elif(operation[Opcode.BARRIER]):
                        m.d.sync += state.eq(State.BARRIER)
                    with m.Else():
                        advance()
            with m.Case(State.FAULT):
                m.d.comb += fault.valid.eq(1)

        m.d.comb += [
            self.sup.idle.eq((state == State.IDLE) & fetch.idle & self.peers_idle),
            self.sup.waiting.eq(
                ((state == State.WAIT) & ~self.semaphores.wait.ready) | (self.barrier & ~self.released)
            ),
        ]
        without = (state == State.IDLE) | (state == State.FAULT)
        starved = (state == State.FETCH) & ~(fetch.available & self.go)
        held = full | (state == State.DRAIN)
        classify(
            m,
            self.sup.activity,
            busy=~(without | starved | held | self.sup.waiting),
            memory=starved,
            semaphore=self.sup.waiting,
            dependence=held,
        )
        with m.If(self.start):
            m.d.sync += [origin.eq(self.entry), length.eq(self.length), pc.eq(0), state.eq(State.FETCH)]
        with m.If(self.sup.abort):
            m.d.comb += fetch.stop.eq(1)
            m.d.sync += state.eq(State.IDLE)
        return m


def _has_cores(opcode: Opcode) -> bool:
    return any(field.name == "cores" for field in INSTRUCTIONS[opcode].fields)


def _slice(bits: Signal, field: Field) -> Value:
    return bits[field.lsb : field.lsb + field.width]
