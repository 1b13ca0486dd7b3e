"""The assembler-level API: a builder that traces a vector program and compiles it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gemel.vector.arithmetic import Arithmetic
from gemel.vector.ir import Bank, Body, Loop, Op, Slot
from gemel.vector.program import VectorProgram, compile_program
from gemel.vector.tracer import ALL, ZERO, predicate_use
from gemel.vector.values import Addr, Operand, Philox, Pred, Scalar, Vec
from gemel_golden.formats import Format, by_name
from gemel_golden.vector_isa import LOOPS, Control

__all__ = ["Builder"]


class Builder(Arithmetic):
    """Traces a program on any number of vectors, predicates, scalars and addresses; `build` gives its bundles.

    Methods stand in program order, and what they return are handles of virtual registers. A loop's body is traced once;
    what goes from one iteration to the next is a `variable` that is assigned in it::

        b = Builder()
        x = b.address(b.arg(1), pitch=16, steps=(1, 0))
        total = b.variable(0.0)
        with b.loop(64):
            b.assign(total, b.add(total, b.load(x, "bf16", post=True)))
        b.store(b.address(b.arg(2), pitch=16), "fp32", b.reduce("add", total))
        program = b.build()

    The order of stores, and of loads before stores, is kept, except between addresses of different regions. A load of
    what the program stored before needs a `fence` in between.
    """

    def variable(self, value: Operand) -> Vec:
        """A vector that starts as `value` and that `assign`, or an operation's `into`, changes."""
        return self.mov(value)

    def assign(self, variable: Vec, value: Operand) -> None:
        """Give a variable another value. The operation that makes the value writes the variable itself where it can."""
        self.mov(value, into=variable)

    @contextmanager
    def loop(self, count: int | Scalar, *, pipeline: bool = True) -> Iterator[None]:
        """The body runs `count` times, also 0; four loops nest. `pipeline` lets iterations overlap."""
        if isinstance(count, int) and not 0 <= count < 1 << 32:
            raise ValueError(f"a loop runs 0 to 2^32 - 1 times, not {count}")
        if len(self._open) > LOOPS:
            raise ValueError(f"{LOOPS} loops nest, not {len(self._open)}")
        scalar, number = self._scalar_field(count)
        body: Body = []
        self._open[-1].append(Loop(number, None if scalar.constant else scalar, body, pipeline))
        self._open.append(body)
        yield
        self._open.pop()

    def address(
        self,
        base: int | Scalar,
        pitch: int | Scalar,
        tile: bool = True,
        *,
        offset: int = 0,
        steps: tuple[int, int] = (0, 0),
        region: str | None = None,
        memory: str | None = None,
        apart: bool = False,
    ) -> Addr:
        """An address register at row 0, column 0 of the matrix at `base` + `offset` bytes of L1.

        `pitch` is in words between chunk columns (tile) or chunks between rows; `steps` are the rows and columns that
        an access with `post` goes on. Accesses of two different regions never touch the same bytes, but those of one
        `memory` (each is of its own unless said otherwise) may with a fence in between; nor do those of two iterations
        of a loop to one region, where its addresses are all `apart`.
        """
        base_reg, base_imm = self._scalar_field(base)
        pitch_reg, pitch_imm = self._scalar_field(pitch)
        reg = self._new(Bank.ADDRESS)
        fields = {"imm": (base_imm + offset) & 0xFFFF_FFFF, "imm2": pitch_imm, "flag": int(tile)}
        self._control(Control.ADDRESS, {"sa": base_reg, "sb": pitch_reg}, ("d", reg), **fields)
        if apart and region is None:
            raise ValueError("apart= speaks of a region: region=...")
        address = Addr(reg, region, memory or region, apart)
        if steps != (0, 0):
            self.step(address, *steps)
        return address

    def step(self, address: Addr, rows: int, cols: int) -> None:
        """Rows and columns that an access with `post` goes on."""
        self._control(Control.STEP, {}, ("d", address.reg), imm=_pair(rows, cols)).merges = True

    def move(self, address: Addr, row: int | Scalar = 0, col: int | Scalar = 0, *, relative: bool = False) -> None:
        """Go to a row and a column, or that many rows and columns on."""
        (row_reg, row_imm), (col_reg, col_imm) = self._scalar_field(row), self._scalar_field(col)
        uses, imm = {"sa": row_reg, "sb": col_reg}, _pair(row_imm, col_imm)
        self._control(Control.MOVE, uses, ("d", address.reg), imm=imm, flag=int(relative)).merges = True

    def load(
        self,
        address: Addr,
        fmt: str | Format,
        *,
        row: int = 0,
        col: int = 0,
        post: bool = False,
        element: bool = False,
        pred: Pred | None = None,
        into: Vec | None = None,
    ) -> Vec:
        """32 elements as FP32 (INT32: as they are), or one in all lanes; zero in lanes outside `pred`.

        `row` (0..31) and `col` (0..255, in vectors of 32 elements, or in elements) are added to the address's.
        """
        out = self._target(into, None)
        uses, fields = predicate_use(pred, "ld_pred", "ld_not")
        fields |= _access("ld", fmt, row, col, post, element)
        self._emit(
            Op(
                Slot.LOAD,
                fields,
                {"ld_addr": address.reg, **uses},
                ("ld_reg", out.reg),
                region=address.region,
                memory=address.memory,
                apart=address.apart,
            )
        )
        return out

    def store(
        self,
        address: Addr,
        fmt: str | Format,
        value: Operand,
        *,
        row: int = 0,
        col: int = 0,
        post: bool = False,
        element: bool = False,
        pred: Pred | None = None,
        saturate: bool = True,
        random: Vec | None = None,
    ) -> None:
        """Convert and write lanes `pred` of 32 elements, or lane 0. `random` words make the rounding stochastic."""
        uses, fields = predicate_use(pred, "st_pred", "st_not")
        fields |= _access("st", fmt, row, col, post, element) | {"st_saturate": int(saturate)}
        uses |= {"st_addr": address.reg, "st_reg": self._as_vector(self._operand(value)).reg}
        if random is not None:
            uses["st_random"] = self._as_vector(random).reg
            fields["st_stochastic"] = 1
        self._emit(Op(Slot.STORE, fields, uses, region=address.region, memory=address.memory, apart=address.apart))

    def fence(self) -> None:
        """Later loads see earlier stores."""
        self._control(Control.FENCE, {}, None)

    def read(self, value: Vec) -> Scalar:
        """Lane 0 as a scalar."""
        reg = self._new(Bank.SCALAR)
        self._control(Control.READ, {"vector": self._as_vector(value).reg}, ("d", reg))
        return Scalar(reg)

    def sadd(self, a: int | Scalar, b: int | Scalar, *, into: Scalar | None = None) -> Scalar:
        """Scalar a + b modulo 2^32."""
        return self._scalar(Control.ADD, a, b, into)

    def ssub(self, a: int | Scalar, b: int | Scalar, *, into: Scalar | None = None) -> Scalar:
        """Scalar a - b modulo 2^32."""
        return self._scalar(Control.SUB, a, b, into)

    def sand(self, a: int | Scalar, b: int | Scalar, *, into: Scalar | None = None) -> Scalar:
        """Scalar a & b."""
        return self._scalar(Control.AND, a, b, into)

    def sshl(self, a: int | Scalar, b: int | Scalar, *, into: Scalar | None = None) -> Scalar:
        """Scalar a << (b mod 32)."""
        return self._scalar(Control.SHL, a, b, into)

    def sshr(self, a: int | Scalar, b: int | Scalar, *, into: Scalar | None = None) -> Scalar:
        """Scalar a >> (b mod 32), logical."""
        return self._scalar(Control.SHR, a, b, into)

    def philox_state(
        self, seed_low: int | Scalar, seed_high: int | Scalar, tensor: int | Scalar, group: int | Scalar
    ) -> Philox:
        """What `philox` draws from; `group` is the index of the first element / 4.

        It is a copy in four scalar registers; but four arguments in a row are used as they are, and `advance` changes
        the last of them.
        """
        given = [value.reg for value in (seed_low, seed_high, tensor, group) if isinstance(value, Scalar)]
        if len(given) == 4 and all(reg.fixed == (given[0].fixed or 0) + i and reg.fixed for i, reg in enumerate(given)):
            return Philox((given[0], given[1], given[2], given[3]))
        new = self._new
        regs = new(Bank.SCALAR), new(Bank.SCALAR), new(Bank.SCALAR), new(Bank.SCALAR)
        for reg, value in zip(regs, (seed_low, seed_high, tensor, group), strict=True):
            reg.group = regs
            self.sadd(value, 0, into=Scalar(reg))
        return Philox(regs)

    def advance(self, state: Philox, groups: int = 8) -> None:
        """Go on by that many groups of four elements; a vector has eight."""
        self.sadd(state.group, groups, into=state.group)

    def build(self) -> VectorProgram:
        """Compile. Raises ValueError when registers or bundles don't suffice."""
        if len(self._open) > 1:
            raise ValueError("a loop is still open")
        return compile_program(self._body)

    def _scalar(self, what: Control, a: int | Scalar, b: int | Scalar, into: Scalar | None) -> Scalar:
        first = self.const(a) if isinstance(a, int) else a
        (reg_a, _), (reg_b, imm) = self._scalar_field(first), self._scalar_field(b)
        reg = into.reg if into else self._new(Bank.SCALAR)
        if reg in (ZERO, ALL):
            raise ValueError("scalar register 0 can't be written")
        self._control(what, {"sa": reg_a, "sb": reg_b}, ("d", reg), imm=imm & 0xFFFF_FFFF)
        return Scalar(reg)


def _pair(rows: int, columns: int) -> int:
    for name, value in (("rows", rows), ("columns", columns)):
        if not -(1 << 15) <= value < 1 << 16:
            raise ValueError(f"{value} {name} don't fit 16 bits")
    return (rows & 0xFFFF) | (columns & 0xFFFF) << 16


def _access(prefix: str, fmt: str | Format, row: int, col: int, post: bool, element: bool) -> dict[str, int]:
    fields = {"en": 1, "format": by_name(fmt).code, "row": row, "col": col, "post": int(post), "element": int(element)}
    return {f"{prefix}_{name}": value for name, value in fields.items()}
