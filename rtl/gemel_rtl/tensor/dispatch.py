"""Dispatch: an issued MATMUL waits for its semaphores, then goes to all stages of the tensor core at once."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import Activation, BlockScale, Rounding, Scaled, ScaleMode
from gemel_rtl.interfaces import SEMAPHORE_PAIR, Issue
from gemel_rtl.tensor.formats import has_bits, is_four, is_integer, is_stochastic, is_wide
from gemel_rtl.tensor.layouts import (
    ADDRESSES,
    FIELDS,
    DrainDescriptor,
    FetchDescriptor,
    PreloadDescriptor,
    ScheduleDescriptor,
    WriteDescriptor,
)

__all__ = ["Dispatch"]

TARGETS = {
    "fetch_a": FetchDescriptor,
    "fetch_b": FetchDescriptor,
    "schedule": ScheduleDescriptor,
    "preload": PreloadDescriptor,
    "drain": DrainDescriptor,
    "write": WriteDescriptor,
}


class Dispatch(wiring.Component):
    """Takes an instruction in the cycle in which it has its semaphores and every stage has room for it.

    Members
    -------
    issue : In(Issue)
    wait : Out(stream), as `Semaphores.wait`
    hold : In, take nothing
    fetch_a, fetch_b, schedule, preload, drain, write : Out(stream) of descriptors, transferred together
    waiting : Out, held by semaphores
    start : Out, pulse, taken
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "issue": In(Issue),
                "wait": Out(stream.Signature(SEMAPHORE_PAIR)),
                "hold": In(1),
                "waiting": Out(1),
                "start": Out(1),
                **{name: Out(stream.Signature(shape)) for name, shape in TARGETS.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.issue.payload.bits
        f = {name: bits[field.lsb : field.lsb + field.width] for name, field in FIELDS.items()}

        waits = f["wait0_count"].any() | f["wait1_count"].any()
        waited = Signal()
        granted = Signal()
        targets = [getattr(self, name) for name in TARGETS]
        m.d.comb += [
            self.wait.valid.eq(self.issue.valid & ~self.hold & waits & ~waited),
            _pair(self.wait.payload, f, "wait"),
            self.waiting.eq(self.wait.valid & ~self.wait.ready),
            granted.eq(~waits | waited | self.wait.ready),
            self.start.eq(self.issue.valid & ~self.hold & granted & Cat(t.ready for t in targets).all()),
            self.issue.ready.eq(self.start),
            [t.valid.eq(self.start) for t in targets],
        ]
        with m.If(self.start):
            m.d.sync += waited.eq(0)
        with m.Elif(self.wait.valid & self.wait.ready):
            m.d.sync += waited.eq(1)

        integer, both_four, block_scale = Signal(), Signal(), Signal(2)
        m.d.comb += [
            integer.eq(is_integer(f["a_format"]) & is_integer(f["b_format"])),
            both_four.eq(is_four(f["a_format"]) & is_four(f["b_format"])),
        ]
        with m.If(~integer & (both_four | (f["block_scale"] != BlockScale.NVFP4))):
            m.d.comb += block_scale.eq(f["block_scale"])
        schedule = self.schedule.payload
        for name, target in (("a", self.fetch_a.payload), ("b", self.fetch_b.payload)):
            four, scaled = is_four(f[f"{name}_format"]), f[f"{name}_scaled"]
            transposed = f[f"{name}_transposed"] & ~four
            m.d.comb += [
                target.base.eq(f[name] >> 5),
                target.pitch.eq(f[f"{name}_pitch"]),
                target.rows.eq(f["m" if name == "a" else "n"]),
                target.k.eq(f["k"]),
                target.transposed.eq(transposed),
                target.wide.eq(is_wide(f[f"{name}_format"])),
                target.four.eq(four),
                target.scaling.eq(Mux(scaled == Scaled.NONE, BlockScale.NONE, block_scale)),
                target.one_scale.eq(scaled == Scaled.TILE),
                target.scales.eq((f[name] >> 6) + f[f"{name}_scales"].as_signed()),
                getattr(schedule, f"{name}_transposed").eq(transposed),
            ]
        for name in ("m", "n", "k", "a_format", "b_format", "accumulate", "a_scaled", "b_scaled"):
            m.d.comb += getattr(schedule, name).eq(f[name])
        m.d.comb += schedule.block_scale.eq(block_scale)

        by_column, stochastic = Signal(), Signal()
        misaligned, address = self._misaligned(m, f, by_column, stochastic)
        preload, drain, write = self.preload.payload, self.drain.payload, self.write.payload
        m.d.comb += [
            by_column.eq(f["scale_mode"] == ScaleMode.COLUMN),
            stochastic.eq((f["rounding"] == Rounding.STOCHASTIC) & is_stochastic(f["d_format"])),
            preload.m.eq(f["m"]),
            preload.n.eq(f["n"]),
            preload.accumulate.eq(f["accumulate"]),
            preload.c.eq(f["c"] >> 5),
            preload.c_pitch.eq(f["c_pitch"]),
            preload.column_scale.eq(by_column),
            preload.scale_word.eq(f["scale_at"] >> 6),
            preload.bias.eq(f["bias"]),
            preload.bias_word.eq(f["bias_at"] >> 6),
            preload.stochastic.eq(stochastic),
            drain.m.eq(f["m"]),
            drain.n.eq(f["n"]),
            drain.integer.eq(integer),
            drain.fmt.eq(f["d_format"]),
            drain.saturate.eq(f["saturate"]),
            drain.scale_mode.eq(f["scale_mode"]),
            drain.scale.eq(f["scale"]),
            drain.bias.eq(f["bias"]),
            drain.relu.eq(f["activation"] == Activation.RELU),
            drain.stochastic.eq(stochastic),
            drain.misaligned.eq(misaligned),
            write.m.eq(f["m"]),
            write.n.eq(f["n"]),
            write.fmt.eq(f["d_format"]),
            write.d.eq(f["d"]),
            write.d_pitch.eq(f["d_pitch"]),
            write.misaligned.eq(misaligned),
            write.address.eq(address),
            _pair(write.signal, f, "signal"),
            write.pc.eq(self.issue.payload.pc),
        ]
        return m

    def _misaligned(self, m: Module, f: dict[str, Value], by_column: Value, stochastic: Value) -> tuple[Signal, Signal]:
        """Whether an address isn't aligned, and the first of these."""
        used = {"c": f["accumulate"], "scale_at": by_column, "bias_at": f["bias"] | stochastic}
        d, d_format = f["d"], f["d_format"]
        d_low = Mux(has_bits(d_format, 4), d[:3], Mux(has_bits(d_format, 8), d[:4], d[:5]))
        misaligned, address = Signal(), Signal(64)
        for name in reversed(("a", "b", "c", "d", "scale_at", "bias_at")):
            low = d_low if name == "d" else f[name][: (ADDRESSES[name].multiple - 1).bit_length()]
            with m.If(low.any() & used.get(name, 1)):
                m.d.comb += [misaligned.eq(1), address.eq(f[name])]
        return misaligned, address


def _pair(pair: data.View, f: dict[str, Value], kind: str) -> list:
    """Fill two semaphores and counts from an instruction's waits or signals."""
    return [
        pair.sem0.eq(f[f"{kind}0"]),
        pair.count0.eq(f[f"{kind}0_count"]),
        pair.sem1.eq(f[f"{kind}1"]),
        pair.count1.eq(f[f"{kind}1_count"]),
    ]
