"""The command processor: executes the ring's packets in order."""

from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.packets import PACKETS, PacketType
from gemel_rtl.command.reader import Reader
from gemel_rtl.command.ring import Ring
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_rtl.launch import FaultRecord, Launch
from gemel_rtl.sequencer.legality import any_of, illegal_field, is_kind

__all__ = ["CommandProcessor"]

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


class CommandProcessor(wiring.Component):
    """Executes packets as `gemel_golden.chip.GoldenChip` defines; the next packet is fetched meanwhile.

    LAUNCH asks for its arguments and starts the core's fetch in the same cycle. WAIT looks at its word every 64
    cycles. A SIGNAL is one beat, and its interrupt comes after the write's response. Disabled, a WAIT is given up (it
    begins again once enabled); anything else is finished first. A fault, of a packet or of the launch, leaves the
    record in `fault` and stops the ring until `fault_clear`; the packet counts as done.

    Parameters: config; id_bits, bus_id: width and value of ARID and AWID.
    Members: `enable`, `ring_base`, `ring_size`, `ring_write`, `ring_read`, `fault`, `fault_clear`: the registers;
    `clock`: what a SIGNAL's timestamp reads; `interrupt`, `faulted`: pulses for irq_status; `busy`, `running`,
    `waiting`: bits of `status`; `launch`; `read`, `write`: the bus.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "enable": In(1),
                "ring_base": In(64),
                "ring_size": In(32),
                "ring_write": In(32),
                "ring_read": Out(32),
                "fault": Out(FaultRecord),
                "fault_clear": In(1),
                "clock": In(64),
                "interrupt": Out(1),
                "faulted": Out(1),
                "busy": Out(1),
                "running": Out(1),
                "waiting": Out(1),
                "launch": Out(Launch),
                "read": Out(axi_read(config, id_bits)),
                "write": Out(axi_write(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.ring = ring = Ring(self.config)
        m.submodules.reader = reader = Reader(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        wiring.connect(m, reader.bus, wiring.flipped(self.read))
        wiring.connect(m, ring.address, reader.packet)

        state = Signal(State)
        bits = Signal(512, reset_less=True)
        where = Signal(64, reset_less=True)
        m.d.comb += [
            ring.enable.eq(self.enable),
            ring.base.eq(self.ring_base),
            ring.size.eq(self.ring_size),
            ring.written.eq(self.ring_write),
            ring.read.eq(self.ring_read + ((state != State.IDLE) & (state != State.STOPPED))),
            ring.data_valid.eq(reader.packet_valid),
            ring.data.eq(reader.data),
            ring.error.eq(reader.error),
            self.busy.eq((state != State.IDLE) | (self.enable & (self.ring_read != self.ring_write))),
            self.waiting.eq((state == State.LOOK) | (state == State.COMPARE) | (state == State.PAUSE)),
        ]

        fields = {kind: {f.name: bits[f.lsb : f.lsb + f.width] for f in PACKETS[kind]} for kind in PacketType}
        launch, wait, signal = fields[PacketType.LAUNCH], fields[PacketType.WAIT], fields[PacketType.SIGNAL]
        found = is_kind(m, bits[:8], PacketType)
        illegal = Signal(reset_less=True)
        beyond = Signal(reset_less=True)
        unreadable = Signal(reset_less=True)
        address = Signal(64, reset_less=True)
        high = self.config.mem_address_bits
        m.d.comb += self.launch.program.eq(launch["program"])
        m.d.comb += self.launch.length.eq(launch["length"])

        beats = Signal(range(5))
        asked = Signal(range(5))
        answered = Signal(range(5))
        failed = Signal()
        pause = Signal(range(POLL_CYCLES))
        in_range = Signal()
        ask = Signal(self.config.mem_address_bits + 1)
        argument = self.launch.argument
        m.d.comb += [
            beats.eq((launch["arguments"] + 7) >> 3),
            ask.eq((address[6:high] + asked) << 6),
            reader.word.payload.eq(ask),
            argument.beat.eq(answered),
            argument.words.eq(reader.data),
            argument.enable.eq(Cat(launch["arguments"] > 8 * answered + w for w in range(8))),
            self.launch.argument_valid.eq((state == State.ARGUMENTS) & reader.word_valid),
            in_range.eq(~ask[high]),
            self.running.eq((state == State.ARGUMENTS) | (state == State.RUN) | (state == State.CANCEL)),
            self.launch.go.eq(state == State.RUN),
        ]
        reached = Signal(reset_less=True)
        chosen = Array(reader.data[64 * i : 64 * (i + 1)] for i in range(8))[address[3:6]]

        aw, w, b = self.write.aw, self.write.w, self.write.b
        m.d.comb += b.ready.eq(1)
        with m.If(aw.ready):
            m.d.sync += aw.valid.eq(0)
        with m.If(w.ready):
            m.d.sync += w.valid.eq(0)

        def finish() -> None:
            m.d.sync += [state.eq(State.IDLE), self.ring_read.eq(self.ring_read + 1)]

        def fail(code: FaultCode, at: Signal | int = 0) -> None:
            m.d.sync += [
                self.fault.code.eq(code),
                self.fault.unit.eq(Unit.COMMAND),
                self.fault.pc.eq(self.ring_read),
                self.fault.address.eq(at),
            ]
            stop()

        def stop() -> None:
            m.d.comb += self.faulted.eq(1)
            m.d.sync += [state.eq(State.STOPPED), self.ring_read.eq(self.ring_read + 1)]

        with m.Switch(state):
            with m.Case(State.IDLE):
                m.d.comb += ring.o_ready.eq(1)
                m.d.sync += [bits.eq(ring.o_bits), where.eq(ring.o_address), unreadable.eq(ring.o_error)]
                with m.If(ring.o_valid):
                    m.d.sync += state.eq(State.CHECK)
            with m.Case(State.CHECK):
                own = Signal(64)
                m.d.comb += own.eq(Mux(found[PacketType.LAUNCH], launch["argument_block"], wait["address"]))
                m.d.sync += [
                    illegal.eq(
                        ~any_of(found.values())
                        | illegal_field(m, bits, found, {kind: PACKETS[kind] for kind in PacketType})
                    ),
                    address.eq(own),
                    beyond.eq(
                        own[high:].any()
                        & (~found[PacketType.LAUNCH] | (launch["arguments"] != 0))
                        & ~found[PacketType.NOP]
                    ),
                    state.eq(State.EXECUTE),
                    asked.eq(0),
                    answered.eq(0),
                    failed.eq(0),
                ]
            with m.Case(State.EXECUTE):
                with m.If(unreadable):
                    fail(FaultCode.MEMORY_READ, where)
                with m.Elif(illegal):
                    fail(FaultCode.ILLEGAL_PACKET)
                with m.Elif(beyond & found[PacketType.SIGNAL]):
                    fail(FaultCode.MEMORY_WRITE, address)
                with m.Elif(beyond):
                    fail(FaultCode.MEMORY_READ, address)
                with m.Elif(found[PacketType.LAUNCH]):
                    m.d.comb += self.launch.start.eq(1)
                    m.d.sync += state.eq(State.ARGUMENTS)
                with m.Elif(found[PacketType.WAIT]):
                    m.d.sync += state.eq(State.LOOK)
                with m.Elif(found[PacketType.SIGNAL]):
                    m.d.sync += [
                        aw.valid.eq(1),
                        aw.payload.id.eq(self.bus_id),
                        aw.payload.addr.eq(address[6:high] << 6),
                        aw.payload.len.eq(0),
                        w.valid.eq(1),
                        w.payload.last.eq(1),
                        w.payload.strb.eq(Mux(signal["timestamp"], 0xFFFF, 0x00FF) << Cat(C(0, 4), address[4:6])),
                        w.payload.data.eq(Cat(signal["value"], self.clock).replicate(4)),
                        state.eq(State.RESPONSE),
                    ]
                with m.Else():
                    finish()
            with m.Case(State.ARGUMENTS):
                m.d.comb += reader.word.valid.eq((asked != beats) & in_range)
                with m.If(reader.word.valid & reader.word.ready):
                    m.d.sync += asked.eq(asked + 1)
                with m.If(reader.word_valid):
                    m.d.sync += [answered.eq(answered + 1), failed.eq(failed | reader.error)]
                with m.If((asked == beats) & (answered == beats)):
                    m.d.sync += state.eq(State.RUN)
                    with m.If(failed):
                        m.d.comb += self.launch.cancel.eq(1)
                        m.d.sync += state.eq(State.CANCEL)
                with m.Elif((asked == answered) & ~in_range):
                    m.d.sync += [asked.eq(beats), answered.eq(beats), failed.eq(1)]
            with m.Case(State.RUN):
                with m.If(self.launch.done & (self.launch.fault.code == 0)):
                    finish()
                with m.Elif(self.launch.done):
                    m.d.sync += self.fault.eq(self.launch.fault)
                    stop()
            with m.Case(State.CANCEL):
                with m.If(self.launch.done):
                    fail(FaultCode.MEMORY_READ, address)
            with m.Case(State.LOOK):
                m.d.comb += reader.word.valid.eq(1)
                with m.If(reader.word.ready):
                    m.d.sync += state.eq(State.COMPARE)
            with m.Case(State.COMPARE):
                m.d.sync += [failed.eq(reader.error), reached.eq(chosen >= wait["value"]), pause.eq(POLL_CYCLES - 1)]
                with m.If(reader.word_valid):
                    m.d.sync += state.eq(State.PAUSE)
            with m.Case(State.PAUSE):
                m.d.sync += pause.eq(pause - 1)
                with m.If(failed):
                    fail(FaultCode.MEMORY_READ, address)
                with m.Elif(reached):
                    finish()
                with m.Elif(~self.enable):
                    m.d.sync += state.eq(State.IDLE)
                with m.Elif(pause == 0):
                    m.d.sync += state.eq(State.LOOK)
            with m.Case(State.RESPONSE):
                with m.If(b.valid & (b.payload.resp != 0)):
                    fail(FaultCode.MEMORY_WRITE, address)
                with m.Elif(b.valid):
                    m.d.comb += self.interrupt.eq(signal["interrupt"])
                    finish()
            with m.Case(State.STOPPED):
                with m.If(self.fault_clear):
                    m.d.sync += [self.fault.eq(0), state.eq(State.IDLE)]
        return m
