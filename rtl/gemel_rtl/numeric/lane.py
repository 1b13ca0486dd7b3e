"""The arithmetic of one lane of the vector core."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.lane_ops import LaneOp
from gemel_rtl.numeric.fp32_fma import Fp32Fma
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.operand import Operand
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN

__all__ = ["LaneAlu", "modify"]

ONE = 0x3F800000
SIGN = 1 << 31

Step = data.StructLayout({"result": 32, "more": 1, "is_imul": 1})


def modify(value: Value, absolute: Value, negate: Value) -> Value:
    """32 bits of an FP32 operand after its modifiers, as `gemel_golden.lane_ops.modify`."""
    return Cat(value[:31], (value[31] & ~absolute) ^ negate)


class LaneAlu(wiring.Component):
    """o = op(a, b, c), as `gemel_golden.lane_ops.apply`. One operation per cycle, each with the same latency.

    A result that doesn't come from the multiply-adder travels beside it, and only one of the two ways switches.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    op : In(5), a `LaneOp`
    a, b, c : In(32)
    o_valid : Out(1)
    o : Out(32), meaningful with `o_valid`; a comparison gives 0 or 1
    o_flag : Out(1), what a comparison found; meaningful with `o_valid` after one
    """

    latency = Fp32Fma.latency

    valid: In(1)
    op: In(5)
    a: In(Fp32)
    b: In(Fp32)
    c: In(Fp32)
    o_valid: Out(1)
    o: Out(32)
    o_flag: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = self.a.as_value(), self.b.as_value()
        is_add, is_mul, is_imul, is_i2f = (self.op == op for op in (LaneOp.ADD, LaneOp.MUL, LaneOp.IMUL, LaneOp.I2F))
        fused, simple = Signal(), Signal()
        m.d.comb += [
            fused.eq((self.op == LaneOp.FMA) | is_add | is_mul | is_i2f),
            simple.eq(self.valid & ~fused),
        ]

        # The addend of a sum is its second operand, that of a product -0, that of an integer +0.
        m.submodules.fma = fma = Fp32Fma()
        m.d.comb += fma.valid.eq(self.valid & (fused | is_imul))
        with m.If(fma.valid):
            m.d.comb += [
                fma.integer.eq(is_i2f),
                fma.raw.eq(is_imul),
                fma.a.eq(a),
                fma.b.eq(Mux(is_add, ONE, b)),
                fma.c.eq(Mux(is_add, b, Mux(is_mul, SIGN, Mux(is_i2f, 0, self.c.as_value())))),
            ]

        result, more = Signal(32), Signal()
        with m.If(simple):
            self._compute(m, result, more)
        pipe = Pipeline(m, simple)
        pipe.next()
        step = pipe.struct(Step, {"result": result, "more": more, "is_imul": is_imul}, name="step")

        # 2: the step that rounding takes.
        stepped = Signal(32)
        m.d.comb += stepped.eq(step.result + step.more)
        pipe.next()
        step = pipe.struct(Step, {"result": stepped, "more": 0, "is_imul": step.is_imul}, name="step")

        # 3: an integer product is that of the low 24 bits and, from bit 24 on, two of 8 bits more.
        joined = Signal(32)
        m.d.comb += joined.eq(
            Mux(step.is_imul, Cat(fma.product[:24], (fma.product[24:32] + step.result[24:])[:8]), step.result)
        )
        assert pipe.stage == fma.product_latency
        result = joined
        while pipe.stage < self.latency:
            pipe.next()
            result = pipe.register(result, name="result")
        m.d.comb += [
            self.o_valid.eq(pipe.valid | fma.o_valid),
            self.o.eq(Mux(pipe.valid, result, fma.o)),
            self.o_flag.eq(result[0]),
        ]
        return m

    def _compute(self, m: Module, result: Signal, more: Signal) -> None:
        """Fills `result` and `more`: what an operation other than the fused ones gives is result + more."""
        a, b = self.a.as_value(), self.b.as_value()
        x, y = Operand(m, self.a, "a"), Operand(m, self.b, "b")
        unordered, equal, same, less = (Signal(name=name) for name in ("unordered", "equal", "same", "less"))
        is_float, is_unsigned = Signal(), Signal()
        m.d.comb += [
            is_unsigned.eq(self.op == LaneOp.IULT),
            is_float.eq(
                (self.op == LaneOp.MIN) | (self.op == LaneOp.MAX) | (self.op == LaneOp.FLT) | (self.op == LaneOp.FLE)
            ),
            unordered.eq(x.nan | y.nan),
            same.eq(a == b),
            equal.eq((same | (x.zero & y.zero)) & ~unordered),
            less.eq(self._key(a, is_float, is_unsigned) < self._key(b, is_float, is_unsigned)),
        ]
        below = less & ~unordered & ~(x.zero & y.zero)

        def gives(op: LaneOp, value: Value) -> None:
            with m.Case(op):
                m.d.comb += result.eq(value)

        amount = b[:5]
        with m.Switch(self.op):
            gives(LaneOp.MIN, Mux(unordered, CANONICAL_NAN, Mux(less, a, b)))
            gives(LaneOp.MAX, Mux(unordered, CANONICAL_NAN, Mux(less, b, a)))
            gives(LaneOp.MOV, a)
            with m.Case(LaneOp.F2I):
                self._to_int(m, x, result, more)
            with m.Case(LaneOp.FLOOR):
                self._floor(m, x, result, more)
            gives(LaneOp.IADD, a + b)
            gives(LaneOp.ISUB, a - b)
            gives(LaneOp.IMUL, Cat(Const(0, 24), (a[24:] * b[:8] + a[:8] * b[24:])[:8]))
            gives(LaneOp.AND, a & b)
            gives(LaneOp.OR, a | b)
            gives(LaneOp.XOR, a ^ b)
            gives(LaneOp.SHL, (a << amount)[:32])
            with m.Case(LaneOp.SHR, LaneOp.SRA):
                incoming = (self.op == LaneOp.SRA) & a[31]
                m.d.comb += result.eq(Cat(a, incoming).as_signed() >> amount)
            gives(LaneOp.IMIN, Mux(less, a, b))
            gives(LaneOp.IMAX, Mux(less, b, a))
            gives(LaneOp.FLT, below)
            gives(LaneOp.FLE, below | equal)
            gives(LaneOp.FEQ, equal)
            gives(LaneOp.FNE, ~equal)
            gives(LaneOp.ILT, less)
            gives(LaneOp.IEQ, same)
            gives(LaneOp.IULT, less)
            gives(LaneOp.IS_NAN, x.nan)

    @staticmethod
    def _key(bits: Value, is_float: Value, is_unsigned: Value) -> Value:
        """An unsigned number in the order of `bits`: what has a sign turns it over, a negative FP32 number all bits."""
        return Cat(Mux(is_float & bits[31], ~bits[:31], bits[:31]), bits[31] ^ ~is_unsigned)

    def _to_int(self, m: Module, x: Operand, result: Signal, more: Signal) -> None:
        """Nearest even. -(kept + up) is ~kept + 1 - up, so that one step at most remains."""
        exponent = self.a.exponent
        moved = Signal(64)
        distance = Signal(6)
        kept, up = moved[32:], Signal()
        # Below 1/2 everything goes; from 2^31 on there is no room.
        small, large = exponent < 126, exponent >= 127 + 31
        m.d.comb += [
            distance.eq((127 + 31 - exponent)[:6]),
            moved.eq(Cat(Const(0, 40), x.sig) >> distance),
            up.eq(moved[31] & (moved[:31].any() | moved[32])),
        ]
        with m.If(x.nan | small):
            m.d.comb += result.eq(0)
        with m.Elif(large):
            m.d.comb += result.eq(Mux(x.sign, SIGN, SIGN - 1))
        with m.Else():
            m.d.comb += [result.eq(Mux(x.sign, ~kept, kept)), more.eq(x.sign ^ up)]

    def _floor(self, m: Module, x: Operand, result: Signal, more: Signal) -> None:
        """Clears the fraction; a negative number then takes one step away from zero, a carry going to the exponent."""
        exponent, bits = self.a.exponent, self.a.as_value()
        fraction = Signal(23)
        down = Signal()
        m.d.comb += [
            fraction.eq(Mux(exponent < 127 + 23, Const((1 << 23) - 1, 23) >> (exponent - 127)[:5], 0)),
            down.eq(x.sign & (bits[:23] & fraction).any()),
        ]
        with m.If(x.nan):
            m.d.comb += result.eq(CANONICAL_NAN)
        with m.Elif(exponent < 127):
            m.d.comb += result.eq(Mux(x.sign & ~x.zero, SIGN | ONE, bits & SIGN))
        with m.Else():
            m.d.comb += [
                result.eq(Cat(Mux(down, bits[:23] | fraction, bits[:23] & ~fraction), bits[23:])),
                more.eq(down),
            ]
