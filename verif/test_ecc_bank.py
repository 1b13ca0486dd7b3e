"""An L1 bank with check bits: every syndrome is corrected or found, what is corrected goes back, bad words stay bad."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Signal
from amaranth.sim import Simulator

from gemel_golden.config import CHUNK
from gemel_golden.memory import secded
from gemel_rtl.l1 import ecc_bank
from gemel_rtl.l1.ecc_bank import LANES, EccBank
from gemel_rtl.numeric.secded import check_bits

FULL = (1 << CHUNK) - 1
DEPTH = 4


class Driver:
    """A bank in Amaranth's simulator; what is written while `flips` isn't zero has these check bits wrong."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.flips = Signal(8 * LANES)
        monkeypatch.setattr(ecc_bank, "check_bits", lambda data: Cat(check_bits(data)) ^ self.flips)
        self.bank = EccBank(DEPTH, 1)

    def run(self, work) -> None:
        simulator = Simulator(self.bank)
        simulator.add_clock(1e-6)

        async def bench(context) -> None:
            self.context = context
            await work(self)

        simulator.add_testbench(bench)
        simulator.run()

    async def write(self, place: int, data: int, mask: int = FULL, flips: int = 0) -> None:
        """The write and the cycle in which it goes into the memory."""
        bank, context = self.bank, self.context
        for signal, value in ((bank.write, 1), (bank.source, 1), (bank.write_address, place), (bank.data0, data)):
            context.set(signal, value)
        context.set(bank.mask, mask)
        await context.tick()
        context.set(bank.write, 0)
        context.set(self.flips, flips)
        await context.tick()
        context.set(self.flips, 0)

    async def read(self, place: int) -> tuple[int, int, int]:
        """Data, corrected lanes, uncorrectable lanes; then the cycle in which a correction goes back has passed."""
        bank, context = self.bank, self.context
        context.set(bank.read, 1)
        context.set(bank.read_address, place)
        await context.tick()
        context.set(bank.read, 0)
        found = tuple(context.get(value) for value in (bank.read_data, bank.corrected, bank.uncorrectable))
        await context.tick()
        return found


def words(value: int) -> np.ndarray:
    return np.frombuffer(value.to_bytes(CHUNK, "little"), "<u8")


def test_every_syndrome(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """In each lane: the data and flags are golden's, and a second read finds nothing left to correct."""
    driver = Driver(monkeypatch)
    seen = []

    async def work(driver: Driver) -> None:
        for syndrome in range(0, 256, LANES):
            flips = sum(syndrome + lane << 8 * lane for lane in range(LANES))
            data = int.from_bytes(rng.bytes(CHUNK), "little")
            await driver.write(1, data, flips=flips)
            seen.append((data, flips, await driver.read(1), await driver.read(1)))

    driver.run(work)
    for data, flips, first, second in seen:
        wrong = np.frombuffer(flips.to_bytes(LANES, "little"), np.uint8)
        golden = secded.decode(words(data), secded.encode(words(data)) ^ wrong)
        assert words(first[0]).tolist() == golden.data.tolist()
        bad = sum(1 << lane for lane in range(LANES) if golden.uncorrectable[lane])
        assert first[1:] == (sum(1 << lane for lane in range(LANES) if golden.corrected[lane]), bad)
        assert second[1:] == (0, bad)
        assert words(second[0])[~golden.uncorrectable].tolist() == golden.data[~golden.uncorrectable].tolist()


def test_parts_written_over_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte over one error: corrected first. Over two: the lane stays uncorrectable. All eight: clean."""
    driver = Driver(monkeypatch)

    async def work(driver: Driver) -> None:
        data = 0x1111
        await driver.write(2, data, flips=secded.COLUMNS[40])  # as if bit 40 had flipped
        await driver.write(2, 0xAB, mask=1)
        flipped = data ^ 1 << 40  # the decoder turns bit 40, which here was right
        assert await driver.read(2) == ((flipped & ~0xFF) | 0xAB, 0, 0)
        await driver.write(3, data, flips=0b11)
        await driver.write(3, 0xAB, mask=1)
        assert (await driver.read(3))[1:] == (0, 1)
        await driver.write(3, data, mask=0xFF)
        assert await driver.read(3) == (data, 0, 0)

    driver.run(work)


def test_a_read_sees_the_write_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)

    async def work(driver: Driver) -> None:
        bank, context = driver.bank, driver.context
        for signal, value in ((bank.write, 1), (bank.source, 1), (bank.data0, 77), (bank.mask, 0xFF)):
            context.set(signal, value)
        await context.tick()
        context.set(bank.write, 0)
        assert await driver.read(0) == (77, 0, 0)

    driver.run(work)
