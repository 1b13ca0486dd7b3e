"""The tensor core: operands from L1, the array of dot cells, and the drain back to L1."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import BlockScale
from gemel_rtl.activity import classify
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, l1_read_port, l1_write_port
from gemel_rtl.numeric.accumulate import DotCell
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.array import STEP_FIELDS, Array
from gemel_rtl.tensor.dispatch import TARGETS, Dispatch
from gemel_rtl.tensor.drain import Drain
from gemel_rtl.tensor.formats import is_wide
from gemel_rtl.tensor.layouts import IN_FLIGHT
from gemel_rtl.tensor.operand import OperandFetch
from gemel_rtl.tensor.preload import Preload
from gemel_rtl.tensor.queue import Queue
from gemel_rtl.tensor.scales import Scales
from gemel_rtl.tensor.schedule import Schedule
from gemel_rtl.tensor.square import Square
from gemel_rtl.tensor.write import Write

__all__ = ["TensorCore"]

SETTLE = 31
"""Cycles of `abort` after which nothing is under way: more than L1's latency and the longest pipeline."""


class TensorCore(wiring.Component):
    """Executes MATMUL as `gemel_golden.tensor.matmul` defines it.

    Operand fetch, multiplication and drain overlap across instructions, in program order: what an instruction writes
    may be read by a later one only through a semaphore. A K-block of an m x n tile takes max(ceil(m / rows) * ceil(n
    / cols), L1 words of A, L1 words of B, `DotCell.distance`) cycles, without bubbles between blocks or instructions;
    a tile drains in m * ceil(n / 16) cycles while the next one is computed. A fault is raised in program order, after
    all earlier instructions have ended.

    Parameters: config.

    Members
    -------
    issue : In(Issue), MATMULs
    l1_a, l1_b, l1_c : Out, L1 read ports; l1_d : Out, L1 write port
    semaphores : Out(Semaphores); sup : Out(Supervision)
    busy : Out, pulse, the array took a block
    flags : Out(3), pulses: invalid, overflow, saturated; saturated : Out(5), number of codes clamped in a cycle
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "issue": In(Issue),
                "l1_a": Out(l1_read_port(config)),
                "l1_b": Out(l1_read_port(config)),
                "l1_c": Out(l1_read_port(config)),
                "l1_d": Out(l1_write_port(config)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
                "busy": Out(1),
                "flags": Out(3),
                "saturated": Out(5),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        abort = ResetInserter(self.sup.abort)

        dispatch = Dispatch()
        fetch_a, fetch_b = OperandFetch(config), OperandFetch(config)
        schedule = Schedule(config, DotCell.distance, DotCell.group_distance, DotCell.group_latency - DotCell.latency)
        preload = Preload(config)
        array = Array(config)
        drain = Drain(config)
        write = Write(config)
        stages = {
            "fetch_a": fetch_a,
            "fetch_b": fetch_b,
            "schedule": schedule,
            "preload": preload,
            "drain": drain,
            "write": write,
        }
        m.submodules.dispatch = abort(dispatch)
        m.submodules.array = array
        for name, stage in stages.items():
            m.submodules[name] = abort(stage)
            queue = Queue(TARGETS[name], IN_FLIGHT)
            m.submodules[f"{name}_queue"] = abort(queue)
            wiring.connect(m, getattr(dispatch, name), queue.i)
            wiring.connect(m, queue.o, stage.i)

        wiring.connect(m, wiring.flipped(self.issue), dispatch.issue)
        for port, stage in ((self.l1_a, fetch_a), (self.l1_b, fetch_b), (self.l1_c, preload), (self.l1_d, write)):
            wiring.connect(m, stage.l1, wiring.flipped(port))
        wiring.connect(m, dispatch.wait, wiring.flipped(self.semaphores.wait))
        wiring.connect(m, write.signal, wiring.flipped(self.semaphores.signal))

        blocks_a = self._squares(m, "a", fetch_a, schedule, schedule.square_a, schedule.read_a, schedule.ig)
        blocks_b = self._squares(m, "b", fetch_b, schedule, schedule.square_b, schedule.valid, schedule.jg)
        scales_a = self._scales(m, "a", fetch_a, schedule, schedule.read_a, schedule.ig)
        scales_b = self._scales(m, "b", fetch_b, schedule, schedule.valid, schedule.jg)
        self._array(m, schedule, array)
        m.d.comb += [
            Value.cast(array.blocks_a).eq(blocks_a),
            Value.cast(array.blocks_b).eq(blocks_b),
            Value.cast(array.scales_a).eq(scales_a),
            Value.cast(array.scales_b).eq(scales_b),
        ]

        # A tile is computed once its last step has gone through the array.
        computed = Signal(array.group_latency)
        ends = schedule.valid & schedule.last
        begin = Mux(schedule.grouped, ends, ends << (array.group_latency - array.latency))
        m.d.sync += computed.eq(computed << 1 | begin)
        with m.If(self.sup.abort):
            m.d.sync += computed.eq(0)
        m.d.comb += [
            schedule.full_a.eq(fetch_a.full),
            schedule.full_b.eq(fetch_b.full),
            fetch_a.release.eq(schedule.release_a),
            fetch_b.release.eq(schedule.release_b),
            schedule.c_tile.eq(preload.c_tile),
            schedule.drained.eq(drain.drained),
            preload.drained.eq(drain.drained),
            preload.vector.eq(drain.vector),
            drain.computed.eq(computed[-1]),
            drain.vector_tile.eq(preload.vector_tile),
            drain.scale.eq(preload.scale),
            drain.bias.eq(preload.bias),
            preload.key_bank.eq(drain.key_bank),
            Value.cast(drain.key).eq(Value.cast(preload.key)),
            drain.advance.eq(write.advance | self.sup.abort),
            [Value.cast(drain.faults[i]).eq(Value.cast(s.fault)) for i, s in enumerate((fetch_a, fetch_b, preload))],
            write.valid.eq(drain.valid),
            Value.cast(write.codes).eq(Value.cast(drain.codes)),
            Value.cast(write.poison).eq(Value.cast(drain.poison)),
            write.saturated.eq(drain.saturated),
            write.invalid.eq(drain.invalid),
            write.overflow.eq(drain.overflow),
        ]
        for name in ("load_en", "load_bank", "load_ig", "load_jq", "load_data"):
            m.d.comb += getattr(array, name).eq(getattr(preload, name))
        for name in ("drain_en", "drain_bank", "drain_ig", "drain_jq"):
            m.d.comb += getattr(array, name).eq(getattr(drain, name))
        m.d.comb += Value.cast(drain.drain_data).eq(Value.cast(array.drain_data))
        self._supervision(m, dispatch, schedule, array, write)
        return m

    def _squares(
        self, m: Module, name: str, fetch: OperandFetch, schedule: Schedule, chosen: Value, read: Value, group: Value
    ) -> Signal:
        """The operand's two squares; returns the blocks read from them, registered."""
        lanes = self.config.rows if name == "a" else self.config.cols
        descriptor = schedule.i.payload
        fmt = getattr(schedule, name).fmt
        squares = []
        for i in range(2):
            m.submodules[f"square_{name}{i}"] = square = Shared(Square(lanes), name=f"gemel_square_{lanes}")
            squares.append(square)
            m.d.comb += [
                square.write_en.eq(fetch.write_en & (fetch.square == i)),
                square.pair.eq(fetch.pair),
                Value.cast(square.chunks).eq(Value.cast(fetch.chunks)),
                square.read_en.eq(read & (chosen == i)),
                square.group.eq(group),
                square.transposed.eq(getattr(descriptor, f"{name}_transposed")),
                square.wide.eq(is_wide(fmt)),
            ]
        blocks = Signal(256 * lanes, name=f"blocks_{name}", reset_less=True)
        with m.If(read):
            m.d.sync += blocks.eq(Value.cast(squares[0].o) | Value.cast(squares[1].o))
        return blocks

    def _scales(
        self, m: Module, name: str, fetch: OperandFetch, schedule: Schedule, read: Value, group: Value
    ) -> Signal:
        """The operand's block scales; returns those read beside the square, registered."""
        lanes = self.config.rows if name == "a" else self.config.cols
        used = Signal(name=f"scaled_{name}")
        m.submodules[f"line_{name}"] = scales = Scales(lanes)
        m.d.comb += [
            used.eq(read & (getattr(schedule, name).scaling != BlockScale.NONE)),
            scales.write_en.eq(fetch.scale_en),
            scales.write_slot.eq(fetch.scale_slot),
            scales.second.eq(fetch.second),
            scales.i.eq(fetch.scales),
            scales.read_en.eq(used),
            scales.slot.eq(getattr(schedule, f"scale_slot_{name}")),
            scales.group.eq(group),
            scales.fp32.eq(schedule.grouped),
            scales.one.eq(getattr(schedule, f"one_scale_{name}")),
            scales.half.eq(schedule.odd_group),
        ]
        held = Signal(32 * lanes, name=f"scales_{name}", reset_less=True)
        with m.If(used):
            m.d.sync += held.eq(Value.cast(scales.o))
        return held

    def _array(self, m: Module, schedule: Schedule, array: Array) -> None:
        """The array's inputs: a step and its blocks come one cycle after the schedule."""
        m.d.sync += array.valid.eq(schedule.valid & ~self.sup.abort)
        with m.If(schedule.valid):
            m.d.sync += [
                array.new_a.eq(schedule.read_a),
                array.ig.eq(schedule.ig),
                array.jg.eq(schedule.jg),
                [getattr(array.step, field).eq(getattr(schedule, field)) for field in STEP_FIELDS],
                array.row_mask.eq(schedule.row_mask),
                array.col_mask.eq(schedule.col_mask),
                Value.cast(array.a).eq(Value.cast(schedule.a)),
                Value.cast(array.b).eq(Value.cast(schedule.b)),
            ]

    def _supervision(self, m: Module, dispatch: Dispatch, schedule: Schedule, array: Array, write: Write) -> None:
        in_flight = Signal(range(2 * IN_FLIGHT + 1))
        settle = Signal(range(SETTLE + 1))
        m.d.comb += dispatch.hold.eq(self.sup.abort)
        with m.If(self.sup.abort):
            m.d.sync += in_flight.eq(0)
            with m.If(settle != SETTLE):
                m.d.sync += settle.eq(settle + 1)
        with m.Else():
            m.d.sync += [in_flight.eq(in_flight + dispatch.start - write.stop), settle.eq(0)]
        m.d.comb += [
            self.sup.idle.eq(Mux(self.sup.abort, settle == SETTLE, in_flight == 0)),
            self.sup.waiting.eq(dispatch.waiting),
            self.sup.pc.eq(Mux(self.issue.valid, self.issue.payload.pc, write.pc)),
            self.sup.fault.code.eq(write.fault.code),
            self.sup.fault.valid.eq(write.fault.valid),
            self.sup.fault.pc.eq(write.fault.pc),
            self.sup.fault.address.eq(write.fault.address),
            self.sup.start.eq(dispatch.start),
            self.sup.stop.eq(write.stop),
            self.busy.eq(array.valid),
            self.saturated.eq(write.saturated_count),
            self.flags.eq(write.flags | Cat(array.invalid, array.overflow)),
        ]
        classify(
            m,
            self.sup.activity,
            busy=self.busy,
            l1=schedule.starved,
            semaphore=dispatch.waiting & ~schedule.i.valid,
            dependence=(in_flight != 0) | self.issue.valid,
        )
