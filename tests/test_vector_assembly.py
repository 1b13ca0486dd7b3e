"""The text form of bundles: what is written reads back to the same bytes."""

import numpy as np
import pytest

from gemel.vector import assemble, disassemble
from gemel_golden.vector_isa import BUNDLE, BUNDLE_BYTES, check_bundle, encode_bundle


def random_bundle(rng: np.random.Generator) -> bytes:
    """A legal bundle with about a third of its fields set, limits more often than the rest."""
    while True:
        values = {}
        for name, field in BUNDLE.items():
            if rng.random() < 0.6:
                continue
            if field.legal is not None:
                values[name] = int(rng.choice(field.legal))
            else:
                inner = int(rng.integers(field.minimum, field.maximum + 1))
                values[name] = [field.minimum, field.maximum, inner][int(rng.integers(3))]
        try:
            return encode_bundle(**values)
        except ValueError:
            continue


def test_text_reads_back_to_the_same_bytes(rng: np.random.Generator) -> None:
    code = b"".join(random_bundle(rng) for _ in range(300))
    assert assemble(disassemble(code)) == code


def test_illegal_bytes_read_back_too(rng: np.random.Generator) -> None:
    code = rng.integers(0, 256, BUNDLE_BYTES * 50, np.uint8).tobytes()
    assert check_bundle(code[:BUNDLE_BYTES]) is not None
    assert assemble(disassemble(code)) == code


def test_the_text_is_for_people() -> None:
    text = (
        "sadd d=s10 imm=0x3f800000\n"
        "address d=a0 sa=s1 imm2=16 flag=1\n"
        "loop sa=s2 imm2=2\n"
        "    load reg=v4 addr=a0 format=bf16 col=3 post=1 pred=!p1\n"
        "    fma rd=v3 a=-abs(v1.xor16) b=-v2 c=s10 pred=p2 ; store reg=v5 addr=a1 saturate=0 random=v7\n"
        "flt a=v1 b=s3 pd=p1 ; pset d=p2 imm=0x5\n"
        "halt\n"
    )
    assert disassemble(assemble(text)) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fma rd=v1 ; add rd=v2", "line 1: add: its slot is taken already"),
        ("fly rd=v1", "line 1: no operation 'fly'"),
        ("add rd=v1 b=v2.up1", "line 1: add: b=v2.up1 isn't an operand"),
        ("add rd=v1 x=3", "line 1: add: no field 'x'"),
        ("add rd=x", "line 1: add: rd=x isn't a number or a register"),
        ("add rd", "line 1: add: 'rd' isn't name=value"),
        ("add rd=v40", "line 1: bundle: rd = 40"),
    ],
)
def test_errors_name_the_line(line: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        assemble(line)
    assert str(error.value).startswith(message)
