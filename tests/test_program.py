"""The program builder and the text form: what is written reads back to the same bytes."""

import numpy as np
import pytest

from gemel import Program, assemble, disassemble, reg
from gemel_golden.isa import INSTRUCTIONS, Instruction, Opcode


def random_values(rng: np.random.Generator, row: Instruction) -> dict[str, int]:
    """Legal values for about half of the fields, limits more often than the rest."""
    values = {}
    for field in row.all_fields:
        if rng.random() < 0.5:
            continue
        if field.legal is not None:
            values[field.name] = int(rng.choice(field.legal))
        else:
            inner = int(rng.integers(field.minimum, field.maximum, dtype=np.uint64 if field.minimum >= 0 else np.int64))
            values[field.name] = [field.minimum, field.maximum, inner][int(rng.integers(3))]
            values[field.name] -= values[field.name] % field.multiple
    return values


@pytest.mark.parametrize("opcode", INSTRUCTIONS)
def test_text_reads_back_to_the_same_bytes(opcode: Opcode, rng: np.random.Generator) -> None:
    program = Program()
    for _ in range(100):
        program.append(INSTRUCTIONS[opcode].encode(**random_values(rng, INSTRUCTIONS[opcode])))
    assert assemble(disassemble(program.bytes)).bytes == program.bytes


def test_illegal_bytes_read_back_too(rng: np.random.Generator) -> None:
    code = rng.integers(0, 256, 64 * 50, np.uint8).tobytes()
    assert assemble(disassemble(code)).bytes == code


def test_the_builder_writes_what_the_table_encodes() -> None:
    p = Program()
    p.set(rd=3, rs1=1, imm=-64)
    with p.loop(5):
        p.load(mem=reg(3) + 128 - 64, l1=0x100, bytes=64, wait={4: 2}, signal={1: 1, 2: 3})
        p.matmul(a=0, b=0x400, d=reg(2), a_format="e4m3", b_format="bf16", k=32)
    with p.loop(1):
        p.halt()
    load = {"mem": 64, "mem_reg": 3, "l1": 0x100, "bytes": 64, "wait0": 4, "wait0_count": 2}
    load |= {"signal0": 1, "signal0_count": 1, "signal1": 2, "signal1_count": 3}
    expected = [
        (Opcode.SET, {"rd": 3, "rs1": 1, "imm": -64}),
        (Opcode.LOOP, {"count": 5}),
        (Opcode.LOAD, load),
        (Opcode.MATMUL, {"b": 0x400, "d_reg": 2, "a_format": 4, "b_format": 2, "k": 32}),
        (Opcode.END, {}),
        (Opcode.HALT, {}),
    ]
    assert p.bytes == b"".join(INSTRUCTIONS[opcode].encode(**values) for opcode, values in expected)
    assert (len(p), p[5]) == (6, INSTRUCTIONS[Opcode.HALT].encode())


def test_the_text_is_for_people() -> None:
    p = Program()
    with p.loop(2):
        p.store(mem=reg(1) + 0x40, l1=0x20, bytes=33, stride1=-64, count1=2, wait={7: 2})
        p.matmul(a=0, b=0, d=8, a_format="fp16", k=5)
    p.halt()
    assert str(p) == (
        "LOOP count=2\n"
        "    STORE mem=r1+0x40 l1=0x20 count1=2 stride1=-64 bytes=33 wait0=s7*2\n"
        "    MATMUL d=0x8 a_format=fp16 k=5\n"
        "END\n"
        "HALT\n"
    )


def test_comments_and_blank_lines() -> None:
    assert assemble("\n  # nothing\nhalt  # the end\n").bytes == INSTRUCTIONS[Opcode.HALT].encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HALT\nJUMP", "line 2: no instruction JUMP; there are NOP, HALT, FENCE, SET, LOOP, END"),
        ("LOAD bytes", "line 1: LOAD: 'bytes' isn't name=value"),
        ("LOAD bytes=x", "line 1: LOAD: bytes=x isn't a number"),
        ("LOAD bytes=0", "line 1: LOAD: bytes = 0 lies outside 1..65536"),
        ("LOAD mem=q1", "line 1: LOAD: mem=q1 isn't an address such as r3+0x40"),
        ("LOAD mem=r32", "line 1: LOAD: mem_reg = 32 lies outside 0..31"),
        ("LOAD mem=1 mem=2", "line 1: LOAD: mem is given twice"),
        ("MATMUL a_format=fp32", "line 1: MATMUL: a_format = 0 isn't one of 2, 3, 4, 5, 6"),
        ("MATMUL m=fp16", "line 1: MATMUL: m can't be 'fp16'"),
        ("NOP size=3", "line 1: NOP has no field 'size'; it has wait0, wait0_count"),
    ],
)
def test_wrong_text_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        assemble(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: p.load(wait={1: 1, 2: 1, 3: 1}), "LOAD: 3 semaphores to wait are more than two"),
        (lambda p: p.load(l1=1 << 32), "LOAD: l1 = 4294967296 doesn't fit in 32 bits"),
        (lambda p: p.load(bytes=reg(1)), "LOAD: bytes isn't an address"),
        (lambda p: p.load(mem="fp16"), "LOAD: the address mem can't be 'fp16'"),
        (lambda p: p.halt(wait={1: 1}), "HALT has no field 'wait0'; it has "),
        (lambda p: p.append(b"123"), "an instruction has 64 bytes, not 3"),
        (lambda p: reg(32), "address register 32 lies outside 0..31"),
        (lambda p: Program(b"1"), "a program is a multiple of 64 bytes, not 1"),
    ],
)
def test_the_builder_refuses_nonsense(build, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(Program())
    assert str(caught.value) == message


def test_unknown_mnemonics_name_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no instruction 'jump'; there are nop, halt, fence"):
        Program().jump(to=3)
