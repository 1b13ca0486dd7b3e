"""One stream into several, each taking its payload when it can."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value

__all__ = ["fork"]


def fork(m: Module, source, sinks: Sequence[tuple], name: str) -> None:
    """Drive `source.ready` and each sink's valid so that every sink whose condition holds transfers once per payload.

    `sinks` holds pairs (stream, condition); a condition may depend on the source's payload only. Payloads are the
    caller's to connect. The source transfers in the cycle in which its last sink does.
    """
    served = []
    for index, (sink, condition) in enumerate(sinks):
        had = Signal(name=f"{name}_had{index}")
        ok = Signal(name=f"{name}_ok{index}")
        m.d.comb += [
            sink.valid.eq(source.valid & Value.cast(condition) & ~had),
            ok.eq(had | sink.ready | ~Value.cast(condition).bool()),
        ]
        with m.If(source.valid):
            m.d.sync += had.eq(ok & ~source.ready)
        served.append(ok)
    m.d.comb += source.ready.eq(Cat(served).all())
