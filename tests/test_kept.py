"""Vector programs that are kept between processes: made once, refused once, by all that they are made of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gemel.vector import Builder, VectorProgram, kept
from gemel.vector.coalesce import coalesce
from gemel.vector.ir import Body


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GEMEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "LONG", 0)
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the compiler was given."""
    seen: list[object] = []

    def counted(trace: Body) -> Body:
        seen.append(trace)
        return coalesce(trace)

    monkeypatch.setattr("gemel.vector.program.coalesce", counted)
    return seen


def doubled(count: int = 8) -> VectorProgram:
    """Twice the elements of `count` rows."""
    b = Builder()
    x = b.address(b.arg(1), 8, steps=(1, 0))
    with b.loop(count):
        value = b.load(x, "fp32")
        b.store(x, "fp32", b.add(value, value), post=True)
    return b.build()


def test_a_program_is_compiled_once(compiled: list[object]) -> None:
    first = doubled()
    assert doubled().bundles == first.bundles and len(compiled) == 1
    assert doubled(9).bundles != first.bundles and len(compiled) == 2


def test_a_refusal_is_found_once() -> None:
    calls = []

    def refuse() -> bytes:
        calls.append(1)
        raise ValueError("too many registers")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"^too many registers$"):
            kept.made([], refuse)
    assert len(calls) == 1


def test_short_work_is_not_kept(monkeypatch: pytest.MonkeyPatch, compiled: list[object]) -> None:
    monkeypatch.setattr(kept, "LONG", 3600)
    doubled()
    doubled()
    assert len(compiled) == 2


def test_another_compiler_compiles_anew(monkeypatch: pytest.MonkeyPatch, compiled: list[object]) -> None:
    doubled()
    monkeypatch.setattr(kept, "_compiler", lambda: "another")
    doubled()
    assert len(compiled) == 2


def test_without_a_cache_it_compiles(home: Path, compiled: list[object]) -> None:
    home.write_text("not a directory")
    assert doubled().bundles == doubled().bundles
    assert len(compiled) == 2


def stores(
    *, argument: int = 1, value: float = 1.0, region: str | None = None, apart: bool = False, loop: bool = False
) -> Callable[[Builder], None]:
    def write(b: Builder) -> None:
        x, y = b.address(b.arg(argument), 8, region=region, apart=apart), b.const(value)
        if loop:
            with b.loop(b.arg(2)):
                b.store(x, "fp32", y)
        else:
            b.store(x, "fp32", y)

    return write


@pytest.mark.parametrize(
    "other",
    [
        stores(argument=2),
        stores(value=2.0),
        stores(region="x"),
        stores(region="x", apart=True),
        stores(loop=True),
    ],
    ids=["argument", "constant", "region", "apart", "loop"],
)
def test_whatever_differs_is_another_program(other: Callable[[Builder], None], compiled: list[object]) -> None:
    for write in (stores(), other, stores(), other):
        b = Builder()
        write(b)
        b.build()
    assert len(compiled) == 2
