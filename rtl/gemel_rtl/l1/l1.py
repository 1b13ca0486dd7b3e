"""The L1 scratchpad: banks of two half-planes behind five read ports and three write ports."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.memory.secded import DATA_BITS
from gemel_rtl.interfaces import l1_read_port, l1_write_port
from gemel_rtl.l1.bank import Bank
from gemel_rtl.l1.ecc_bank import LANES, EccBank, partial
from gemel_rtl.shared import Shared

__all__ = ["L1", "READ_LATENCY", "READ_PORTS", "REMOTE_READ", "REMOTE_WRITE", "WRITE_PORTS", "l1_error"]

READ_PORTS = ("a", "b", "c", "store", "vector")
WRITE_PORTS = ("load", "d", "vector_store")
REMOTE_READ, REMOTE_WRITE = "remote", "remote_store"
"""The ports that other cores use, where there are some."""
READ_LATENCY = 2
"""Cycles from a read request's transfer to its data."""


def l1_error(readers: int) -> data.StructLayout:
    """Which of the read ports get data with an uncorrectable error, and the byte address of the first of these."""
    return data.StructLayout({"ports": readers, "address": 32})


class L1(wiring.Component):
    """The scratchpad. Half h of word w is in bank w mod `l1_banks` of plane h; a bank does a read and a write a cycle.

    An access takes all its halves in the cycle of its transfer. Where several read ports, or several write ports,
    want one bank, the one that comes first in an order that rotates every cycle goes, so that no request waits longer
    than the others are many; an access without conflict goes at once. Reads see every write transferred in an earlier
    cycle.

    Two-port banks let a unit stream into L1 at the full rate while another streams out of it: with single-port banks
    both streams lose an eighth of their cycles to each other whenever they run at the bus's rate, as in decoding.

    With `config.ecc` each 64 bits are protected (see `EccBank`). A write of a part of 64 bits then takes the bank's
    read as well, and all ports share one order.

    Parameters: config; remote: whether there are ports for other cores.
    Members: read ports `a`, `b`, `c`, `store`, `vector`, `remote` and write ports `load`, `d`, `vector_store`,
    `remote_store` (see `gemel_rtl.interfaces`); with `config.ecc` also `error`, in the cycle of the data, and
    `corrected`, how many words of 64 bits were in this cycle.
    Attributes: `read_latency`.
    """

    read_latency = READ_LATENCY

    def __init__(self, config: ChipConfig, *, remote: bool = False):
        self.config = config
        self.readers = READ_PORTS + ((REMOTE_READ,) if remote else ())
        self.writers = WRITE_PORTS + ((REMOTE_WRITE,) if remote else ())
        super().__init__(
            {name: In(l1_read_port(config)) for name in self.readers}
            | {name: In(l1_write_port(config)) for name in self.writers}
            | (self._error_members() if config.ecc else {})
        )

    def _error_members(self) -> dict[str, wiring.Member]:
        corrected = range(2 * self.config.l1_banks * LANES + 1)
        return {"error": Out(l1_error(len(self.readers))), "corrected": Out(corrected)}

    def elaborate(self, platform) -> Module:
        m = Module()
        banks = self.config.l1_banks
        bank_bits = ceil_log2(banks)
        names = self.readers + self.writers
        ports = [getattr(self, name) for name in names]

        def enable(port, h: int) -> Value:
            return port.req.payload[f"en{h}"]

        def address(port, h: int) -> Value:
            return port.req.payload[f"addr{h}"]

        readers, writers = ports[: len(self.readers)], ports[len(self.readers) :]
        if self.config.ecc:
            granted = self._arbitrate(m, ports, bank_bits, "access")
        else:
            granted = self._arbitrate(m, readers, bank_bits, "read") + self._arbitrate(m, writers, bank_bits, "write")

        kind = EccBank if self.config.ecc else Bank
        outputs, entries = [], []
        for h in range(2):
            row, mask, data = [], [], []
            for name in self.writers:
                request = getattr(self, name).req.payload
                mask.append(Signal(CHUNK, name=f"{name}_mask{h}"))
                data.append(Signal(8 * CHUNK, name=f"{name}_data{h}"))
                m.d.comb += mask[-1].eq(request.mask.word_select(h, CHUNK))
                m.d.comb += data[-1].eq(request.data.word_select(h, 8 * CHUNK))
            for b in range(banks):
                bank = Shared(kind(self.config.l1_words // banks, len(self.writers)), name="gemel_l1_bank")
                m.submodules[f"bank{h}_{b}"] = bank
                takes = []
                for name, port, go in zip(names, ports, granted, strict=True):
                    take = Signal(name=f"take_{name}_{h}_{b}")
                    m.d.comb += take.eq(go & enable(port, h) & (address(port, h)[:bank_bits] == b))
                    takes.append(take)
                for name, port, take in zip(names, ports, takes, strict=True):
                    target = bank.read_address if name in self.readers else bank.write_address
                    with m.If(take):
                        m.d.comb += target.eq(address(port, h)[bank_bits:])
                m.d.comb += bank.read.eq(Cat(takes[: len(self.readers)]).any())
                writing = Cat(takes[len(self.readers) :])
                m.d.comb += [bank.write.eq(writing.any()), bank.source.eq(writing)]
                m.d.comb += [getattr(bank, f"data{i}").eq(value) for i, value in enumerate(data)]
                for take, bits in zip(writing, mask, strict=True):
                    with m.If(take):
                        m.d.comb += bank.mask.eq(bits)
                row.append(bank.read_data)
                entries.append(bank)
            outputs.append(row)

        for name, go in zip(self.readers, granted, strict=False):
            port = getattr(self, name)
            under_way = Signal(name=f"{name}_under_way")
            m.d.sync += [under_way.eq(go), port.valid.eq(under_way)]
            for h in range(2):
                chosen = Signal(bank_bits, name=f"{name}_bank{h}", reset_less=True)
                with m.If(go):
                    m.d.sync += chosen.eq(address(port, h)[:bank_bits])
                with m.If(under_way), m.Switch(chosen):
                    for b in range(banks):
                        with m.Case(b):
                            m.d.sync += port.data[h].eq(outputs[h][b])
        if self.config.ecc:
            self._errors(m, entries, readers, granted[: len(self.readers)])
        return m

    def _errors(self, m: Module, banks: list, readers: list, granted: list[Signal]) -> None:
        """Count what `banks` (of half 0, then of half 1) correct, and say who reads what they can't."""
        corrected = Cat(bank.corrected for bank in banks)
        with m.If(corrected.any()):
            m.d.comb += self.corrected.eq(sum(corrected))
        found = Signal()
        m.d.comb += found.eq(Cat(bank.uncorrectable for bank in banks).any())
        m.d.sync += self.error.ports.eq(0)
        half = len(banks) // 2
        bits = ceil_log2(half)
        m.d.comb += [port.error.eq(self.error.ports[p]) for p, port in enumerate(readers)]
        for p, (port, go) in reversed(list(enumerate(zip(readers, granted, strict=True)))):
            for h in (1, 0):
                word = Signal.like(port.req.payload.addr0, name=f"error_word{p}_{h}", reset_less=True)
                reads = Signal(name=f"error_reads{p}_{h}")
                bad = Signal(LANES, name=f"error_lanes{p}_{h}")
                m.d.sync += reads.eq(go & port.req.payload[f"en{h}"])
                with m.If(go):
                    m.d.sync += word.eq(port.req.payload[f"addr{h}"])
                with m.If(found & reads):
                    with m.Switch(word[:bits]):
                        for b in range(half):
                            with m.Case(b):
                                m.d.comb += bad.eq(banks[half * h + b].uncorrectable)
                for lane in reversed(range(LANES)):
                    with m.If(bad[lane]):
                        at = word * WORD + h * CHUNK + lane * DATA_BITS // 8
                        m.d.sync += [self.error.ports[p].eq(1), self.error.address.eq(at)]

    def _arbitrate(self, m: Module, ports: list, bank_bits: int, kind: str) -> list[Signal]:
        """Drive these ports' ready; return who of them transfers in this cycle."""

        def meets(p: int, q: int, h: int) -> Value | int:
            """Whether p and q use the same port of a bank: a read and a write do where the write has to read."""
            if p < len(self.readers) <= q and len(ports) > len(self.readers):
                return partial(ports[q].req.payload.mask.word_select(h, CHUNK)).any()
            return 1

        n = len(ports)
        top = Signal(n, init=1, name=f"{kind}_top")
        m.d.sync += top.eq(top.rotate_left(1))
        blocked: list[list[Value]] = [[] for _ in ports]
        for p in range(n):
            for q in range(p + 1, n):
                meet = Signal(name=f"{kind}_meet_{p}_{q}")
                first, second = ports[p].req, ports[q].req
                same = [
                    first.payload[f"en{h}"]
                    & second.payload[f"en{h}"]
                    & (first.payload[f"addr{h}"][:bank_bits] == second.payload[f"addr{h}"][:bank_bits])
                    & meets(p, q, h)
                    for h in range(2)
                ]
                m.d.comb += meet.eq(first.valid & second.valid & Cat(same).any())
                q_first = Signal(name=f"{kind}_first_{q}_{p}")  # q precedes p when the top lies after p and not after q
                m.d.comb += q_first.eq(top[p + 1 : q + 1].any())
                blocked[p].append(meet & q_first)
                blocked[q].append(meet & ~q_first)
        granted = []
        for p, port in enumerate(ports):
            go = Signal(name=f"{kind}_granted_{p}")
            m.d.comb += [port.req.ready.eq(~Cat(blocked[p]).any()), go.eq(port.req.valid & port.req.ready)]
            granted.append(go)
        return granted
