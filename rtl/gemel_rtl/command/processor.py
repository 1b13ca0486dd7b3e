"""The processor of one ring: executes its packets in order."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import FAULT_BITS, FaultCode, Unit
from gemel_golden.packets import PACKETS, PacketType
from gemel_rtl.command.backlog import Backlog
from gemel_rtl.command.copier import COPY
from gemel_rtl.command.dispatcher import PRIORITY_BITS
from gemel_rtl.command.ring import Ring
from gemel_rtl.command.writer import word_write
from gemel_rtl.interfaces import AXI_DATA_BITS, DECODE_ERROR, PC_BITS, SLAVE_ERROR
from gemel_rtl.launch import RingFault, ring_launch
from gemel_rtl.sequencer.legality import any_of, illegal_field, is_kind
from gemel_rtl.windows import Windows, allows

__all__ = ["CommandProcessor", "Control", "Status"]

SHIFT = WORD.bit_length() - 1
POLL_CYCLES = 64
"""Cycles between a WAIT's answer and its next look at memory."""


class State(enum.Enum, shape=4):
    """What the command processor does."""

    IDLE = 0
    CHECK = 1
    EXECUTE = 2
    ARGUMENTS = 3
    RUN = 4
    LOOK = 5
    COMPARE = 6
    PAUSE = 7
    RESPONSE = 8
    CANCEL = 9
    STOPPED = 10


def _cause(response: Value, otherwise: FaultCode = FaultCode.MEMORY_READ) -> Value:
    """What a bad response of the bus means, where windows allow the access."""
    return Mux(response == SLAVE_ERROR, FaultCode.ECC_MEMORY, otherwise)


Control = wiring.Signature(
    {
        "enable": Out(1),
        "base": Out(64),
        "size": Out(32),
        "write": Out(32),
        "priority": Out(PRIORITY_BITS),
        "windows": Out(Windows),
        "watchdog": Out(32),
        "fault_clear": Out(1),
    }
)
"""What a ring's page of registers asks for."""

Status = wiring.Signature(
    {
        "read": Out(32),
        "fault": Out(RingFault),
        "busy": Out(1),
        "running": Out(1),
        "waiting": Out(1),
        "queued": Out(1),
        "copying": Out(1),
        "interrupt": Out(1),
        "faulted": Out(1),
        "begins": Out(1),
        "ends": Out(1),
        "packet": Out(PC_BITS),
    }
)
"""What a ring's page of registers shows; `interrupt` and `faulted` are pulses for irq_status. For timelines: pulses as
a packet begins, all before it having ended, and as it ends or is given up, and `packet`: bits 0-15 its index, 16-23 its
type."""


class CommandProcessor(wiring.Component):
    """Executes a ring's packets as `gemel_golden.chip.GoldenChip` defines; the next packet is fetched meanwhile.

    LAUNCH starts its cores' fetch as soon as the dispatcher grants them, and then asks for its arguments. WAIT looks at
    its word every 64 cycles. A SIGNAL's interrupt comes after the write's response. COPYs, and SIGNALs behind them, go
    into a `Backlog`, in which they end in their order; other packets wait until it is empty. Disabled, a WAIT, a LAUNCH
    that waits for cores, a COPY that waits for its turn and what waits for the backlog are given up (they begin again
    once enabled); anything else is finished first. A fault, of a packet or of the launch, leaves the record in `fault`
    and stops the ring until `fault_clear`; the packet counts as done, and those of the backlog behind it begin again.

    Parameters: config.
    Members: `control`, `status`: the ring's registers; `launch`: to the dispatcher; `packet`, `word`, `packet_valid`,
    `word_valid`, `data`, `error`: the ring's side of `Reader`; `signal`, `signal_done`, `signal_error`: of `Writer`;
    `copy`, `copy_done`, `copy_code`, `copy_address`: of `Copier`; `awake`: there is something to do, or else the clock
    may rest.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        address = Out(stream.Signature(config.mem_address_bits))
        super().__init__(
            {
                "control": In(Control),
                "status": Out(Status),
                "launch": Out(ring_launch(config)),
                "packet": address,
                "word": address,
                "packet_valid": In(1),
                "word_valid": In(1),
                "data": In(AXI_DATA_BITS),
                "error": In(2),
                "signal": Out(stream.Signature(word_write(config))),
                "signal_done": In(1),
                "signal_error": In(2),
                "copy": Out(stream.Signature(COPY)),
                "copy_done": In(1),
                "copy_code": In(FAULT_BITS),
                "copy_address": In(64),
                "awake": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.ring = ring = Ring(self.config)
        wiring.connect(m, ring.address, wiring.flipped(self.packet))

        control, status = self.control, self.status
        state = Signal(State)
        bits = Signal(512, reset_less=True)
        where = Signal(64, reset_less=True)
        given_up = Signal()  # the packet is to be fetched again
        m.submodules.backlog = backlog = Backlog(self.config)
        behind, has_packet, flushed = Signal(), Signal(), Signal()
        begun = Signal()  # the oldest packet has
        m.d.comb += [
            behind.eq(backlog.count != 0),
            has_packet.eq((state != State.IDLE) & (state != State.STOPPED)),
            self.awake.eq((state != State.IDLE) | behind | ring.awake),
            ring.enable.eq(control.enable & ~flushed),
            ring.hurry.eq(behind | self.copy.valid),
            ring.base.eq(control.base),
            ring.size.eq(control.size),
            ring.written.eq(control.write),
            ring.read.eq(status.read + backlog.count + (has_packet & ~given_up)),
            ring.data_valid.eq(self.packet_valid),
            ring.data.eq(self.data),
            ring.error.eq(self.error),
            status.begins.eq((behind | has_packet) & ~begun),
            status.packet.eq(Cat(status.read[:16], bits[:8])),
            ring.refused.eq(~allows(m, control.windows, ring.address.payload, "read", "packet")),
            status.busy.eq((state != State.IDLE) | behind | (control.enable & (status.read != control.write))),
            status.copying.eq(self.copy.valid | behind),
            status.waiting.eq((state == State.LOOK) | (state == State.COMPARE) | (state == State.PAUSE)),
        ]

        fields = {kind: {f.name: bits[f.lsb : f.lsb + f.width] for f in PACKETS[kind]} for kind in PacketType}
        launch, wait, signal = fields[PacketType.LAUNCH], fields[PacketType.WAIT], fields[PacketType.SIGNAL]
        found = is_kind(m, bits[:8], PacketType)
        illegal = Signal(reset_less=True)
        beyond = Signal(reset_less=True)
        unreadable = Signal(2, reset_less=True)
        address = Signal(64, reset_less=True)
        high = self.config.mem_address_bits
        word = Signal.like(self.signal.payload, name="word")
        m.d.comb += [
            word.address.eq(address),
            word.value.eq(signal["value"]),
            word.timestamp.eq(signal["timestamp"]),
            self.signal.payload.eq(Mux(behind, backlog.o.payload, word)),
            backlog.o.ready.eq(behind & self.signal.ready),
            backlog.i.payload.word.eq(word),
            backlog.i.payload.interrupt.eq(signal["interrupt"]),
            backlog.signal_done.eq(self.signal_done),
            backlog.signal_error.eq(self.signal_error),
            backlog.copy_done.eq(self.copy_done),
            backlog.copy_code.eq(self.copy_code),
            backlog.copy_address.eq(self.copy_address),
            backlog.move.eq(self.copy.payload.move),
            backlog.copies.eq(self.copy.valid & self.copy.ready),
        ]
        with m.If(behind):
            m.d.comb += [
                self.signal.valid.eq(backlog.o.valid),
                status.packet[16:].eq(Mux(backlog.copying, PacketType.COPY, PacketType.SIGNAL)),
                status.interrupt.eq(backlog.interrupt),
                status.ends.eq(backlog.ends),
            ]
        with m.If(backlog.ends):
            m.d.sync += status.read.eq(status.read + 1)
        m.d.sync += [begun.eq((begun | status.begins) & ~status.ends), flushed.eq(backlog.flush)]
        move = self.copy.payload.move
        m.d.comb += [getattr(move, name).eq(value) for name, value in fields[PacketType.COPY].items()]
        m.d.comb += self.copy.payload.windows.eq(control.windows)
        mask = launch["cores"][: self.config.cores]
        m.d.comb += [
            self.launch.program.eq(launch["program"]),
            self.launch.length.eq(launch["length"]),
            self.launch.cores.eq(mask),
            self.launch.windows.eq(control.windows),
            self.launch.watchdog.eq(control.watchdog),
        ]

        # Arguments: `beats` for each core of `to_ask`, in order, at `place`; those of `to_answer` haven't come yet.
        # Where all have the same, the first core stands for all.
        each = launch["argument_stride"].any()
        beats = Signal(range(5))
        place = Signal(65 - SHIFT, reset_less=True)
        asked = Signal(range(4))
        answered = Signal(range(4))
        to_ask = Signal(self.config.cores)
        to_answer = Signal(self.config.cores)
        failed = Signal(2)  # the response to reads that went wrong
        pause = Signal(range(POLL_CYCLES))
        in_range = Signal()
        readable = Signal()
        refused = Signal()
        forbidden = Signal(reset_less=True)
        ask = Signal(len(place))
        argument = self.launch.argument
        m.d.comb += [
            beats.eq((launch["arguments"] + 7) >> 3),
            ask.eq(place + asked),
            self.word.payload.eq(ask << SHIFT),
            argument.beat.eq(answered),
            argument.words.eq(self.data),
            argument.enable.eq(Cat(launch["arguments"] > 8 * answered + w for w in range(8))),
            readable.eq(allows(m, control.windows, self.word.payload, "read", "argument")),
            in_range.eq(~ask[high - SHIFT :].any() & readable),
            status.running.eq((state == State.ARGUMENTS) | (state == State.RUN) | (state == State.CANCEL)),
            self.launch.go.eq(state == State.RUN),
        ]
        with m.If((state == State.ARGUMENTS) & self.word_valid):
            m.d.comb += self.launch.argument_cores.eq(Mux(each, to_answer & -to_answer, mask))
        reached = Signal(reset_less=True)
        chosen = Array(self.data[64 * i : 64 * (i + 1)] for i in range(8))[address[3:6]]

        def finish() -> None:
            m.d.comb += status.ends.eq(1)
            m.d.sync += [state.eq(State.IDLE), status.read.eq(status.read + 1)]

        def give_up() -> None:
            m.d.comb += given_up.eq(1)
            with m.If(~behind):
                m.d.comb += status.ends.eq(1)
            m.d.sync += state.eq(State.IDLE)

        def fail(code: ValueLike, at: Signal | int = 0) -> None:
            m.d.sync += [
                status.fault.code.eq(code),
                status.fault.unit.eq(Unit.COMMAND),
                status.fault.pc.eq(status.read),
                status.fault.address.eq(at),
                status.fault.core.eq(0),
            ]
            stop()

        def stop() -> None:
            m.d.comb += [status.ends.eq(1), status.faulted.eq(1)]
            m.d.sync += [state.eq(State.STOPPED), status.read.eq(status.read + 1)]

        with m.If(backlog.failed):
            m.d.comb += backlog.flush.eq(1)
            fail(backlog.code, backlog.address)
        with m.Else(), m.Switch(state):
            with m.Case(State.IDLE):
                m.d.comb += ring.o_ready.eq(1)
                m.d.sync += [bits.eq(ring.o_bits), where.eq(ring.o_address), unreadable.eq(ring.o_error)]
                with m.If(ring.o_valid):
                    m.d.sync += state.eq(State.CHECK)
            with m.Case(State.CHECK):
                own = Signal(64)
                m.d.comb += own.eq(Mux(found[PacketType.LAUNCH], launch["argument_block"], wait["address"]))
                may_read, may_write = (allows(m, control.windows, own, right, right) for right in ("read", "write"))
                accesses = found[PacketType.WAIT] | found[PacketType.SIGNAL]
                accesses |= found[PacketType.LAUNCH] & (launch["arguments"] != 0)
                m.d.sync += [
                    illegal.eq(
                        ~any_of(found.values())
                        | illegal_field(m, bits, found, {kind: PACKETS[kind] for kind in PacketType})
                        | (found[PacketType.LAUNCH] & launch["cores"][self.config.cores :].any())
                    ),
                    address.eq(own),
                    beyond.eq(own[high:].any() & accesses),
                    forbidden.eq(accesses & ~Mux(found[PacketType.SIGNAL], may_write, may_read)),
                    refused.eq(0),
                    state.eq(State.EXECUTE),
                    place.eq(own[SHIFT:]),
                    asked.eq(0),
                    answered.eq(0),
                    to_ask.eq(mask),
                    to_answer.eq(mask),
                    failed.eq(0),
                ]
            with m.Case(State.EXECUTE):
                well = ~unreadable.any() & ~illegal & ~forbidden & ~beyond
                copies = well & found[PacketType.COPY] & (move.bytes != 0)
                with m.If(behind & ~copies & ~(well & found[PacketType.SIGNAL])):
                    with m.If(~control.enable):
                        give_up()
                with m.Elif(unreadable):
                    readable_there = allows(m, control.windows, where, "read", "there")
                    fail(Mux(readable_there, _cause(unreadable), FaultCode.PROTECTION), where)
                with m.Elif(illegal):
                    fail(FaultCode.ILLEGAL_PACKET)
                with m.Elif(forbidden):
                    fail(FaultCode.PROTECTION, address)
                with m.Elif(beyond & found[PacketType.SIGNAL]):
                    fail(FaultCode.MEMORY_WRITE, address)
                with m.Elif(beyond):
                    fail(FaultCode.MEMORY_READ, address)
                with m.Elif(found[PacketType.LAUNCH]):
                    m.d.comb += self.launch.valid.eq(1)
                    m.d.comb += status.queued.eq(1)
                    with m.If(self.launch.ready):
                        m.d.sync += state.eq(State.ARGUMENTS)
                    with m.Elif(~control.enable):
                        give_up()
                with m.Elif(found[PacketType.WAIT]):
                    m.d.sync += state.eq(State.LOOK)
                with m.Elif(found[PacketType.SIGNAL] & behind):
                    m.d.comb += backlog.i.valid.eq(1)
                    with m.If(backlog.i.ready):
                        m.d.sync += state.eq(State.IDLE)
                    with m.Elif(~control.enable):
                        give_up()
                with m.Elif(found[PacketType.SIGNAL]):
                    m.d.comb += self.signal.valid.eq(1)
                    with m.If(self.signal.ready):
                        m.d.sync += state.eq(State.RESPONSE)
                with m.Elif(copies):
                    m.d.comb += [backlog.compares.eq(1), self.copy.valid.eq(backlog.compared & backlog.room)]
                    with m.If(self.copy.valid & self.copy.ready):
                        m.d.sync += state.eq(State.IDLE)
                    with m.Elif(~control.enable):
                        give_up()
                with m.Else():
                    finish()
            with m.Case(State.ARGUMENTS):
                m.d.comb += self.word.valid.eq(to_ask.any() & (beats != 0) & in_range)
                with m.If(self.word.valid & self.word.ready):
                    m.d.sync += asked.eq(asked + 1)
                    with m.If(asked == beats - 1):
                        m.d.sync += [asked.eq(0), to_ask.eq(Mux(each, to_ask & (to_ask - 1), 0))]
                        m.d.sync += place.eq(place + launch["argument_stride"][SHIFT:])
                with m.If(self.word_valid):
                    m.d.sync += [answered.eq(answered + 1), failed.eq(failed | self.error)]
                    with m.If(answered == beats - 1):
                        m.d.sync += [answered.eq(0), to_answer.eq(Mux(each, to_answer & (to_answer - 1), 0))]
                with m.If((beats == 0) | ~to_answer.any()):
                    m.d.sync += state.eq(State.RUN)
                    with m.If(failed):
                        m.d.comb += self.launch.cancel.eq(1)
                        m.d.sync += state.eq(State.CANCEL)
                with m.Elif((asked == answered) & (to_ask == to_answer) & ~in_range):
                    m.d.sync += [to_ask.eq(0), to_answer.eq(0), failed.eq(DECODE_ERROR), refused.eq(~readable)]
            with m.Case(State.RUN):
                with m.If(self.launch.done & (self.launch.fault.code == 0)):
                    finish()
                with m.Elif(self.launch.done):
                    m.d.sync += status.fault.eq(self.launch.fault)
                    with m.If(self.launch.fault.unit == Unit.COMMAND):
                        m.d.sync += status.fault.pc.eq(status.read)
                    stop()
            with m.Case(State.CANCEL):
                with m.If(self.launch.done):
                    fail(Mux(refused, FaultCode.PROTECTION, _cause(failed)), address)
            with m.Case(State.LOOK):
                m.d.comb += self.word.valid.eq(1)
                with m.If(self.word.ready):
                    m.d.sync += state.eq(State.COMPARE)
            with m.Case(State.COMPARE):
                m.d.sync += [failed.eq(self.error), reached.eq(chosen >= wait["value"]), pause.eq(POLL_CYCLES - 1)]
                with m.If(self.word_valid):
                    m.d.sync += state.eq(State.PAUSE)
            with m.Case(State.PAUSE):
                m.d.sync += pause.eq(pause - 1)
                with m.If(failed):
                    fail(_cause(failed), address)
                with m.Elif(reached):
                    finish()
                with m.Elif(~control.enable):
                    give_up()
                with m.Elif(pause == 0):
                    m.d.sync += state.eq(State.LOOK)
            with m.Case(State.RESPONSE):
                with m.If(self.signal_done & (self.signal_error != 0)):
                    fail(_cause(self.signal_error, FaultCode.MEMORY_WRITE), address)
                with m.Elif(self.signal_done):
                    m.d.comb += status.interrupt.eq(signal["interrupt"])
                    finish()
            with m.Case(State.STOPPED):
                with m.If(control.fault_clear):
                    m.d.sync += [status.fault.eq(0), state.eq(State.IDLE)]
        return m
