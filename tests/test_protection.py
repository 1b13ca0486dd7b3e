"""Windows and watchdogs on the golden chip."""

import pytest

import gemel
from gemel import Device, DeviceFault, Window
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.windows import OPEN, Windows


def open_golden() -> Device:
    return gemel.open("nano", "golden", memory_bytes=1 << 20)


def protected(device: Device, page: gemel.Buffer | None = None) -> gemel.Stream:
    """A stream that may access one page."""
    page = device.alloc(4096, align=4096) if page is None else page
    return device.stream(windows=[Window(base=page.address, limit=page.address + 4096, read=True, write=True)])


def test_launches_stay_in_their_windows() -> None:
    with open_golden() as device:
        page, outside = device.alloc(4096, align=4096), device.alloc(64)
        stream = protected(device, page)
        with pytest.raises(DeviceFault, match=r"^PROTECTION in STORE at instruction 0 .*no window of the ring allows"):
            stream.launch(gemel.assemble("STORE mem=r1 bytes=64\nHALT"), [outside]).wait()
        stream.launch(gemel.assemble("STORE mem=r1 bytes=64\nHALT"), [page]).wait()


def test_a_program_outside_is_not_fetched() -> None:
    with open_golden() as device:
        stream = protected(device)
        launch = stream.launch(gemel.assemble("HALT"))
        code = launch.keeps[0]
        ring = device._rings[stream.ring]
        ring.page.write("window1_limit", ring.page.read("window1_base"))
        with pytest.raises(DeviceFault) as caught:
            launch.wait()
        fault = caught.value
        assert (fault.code, fault.unit, fault.address) == (FaultCode.PROTECTION, Unit.SEQUENCER, code.address)


def test_the_watchdog_ends_what_stands_still() -> None:
    with open_golden() as device:
        stream = device.stream(watchdog=1000)
        with pytest.raises(DeviceFault, match=r"WATCHDOG in SEQUENCER at instruction 1 .*ran for more cycles"):
            stream.launch(gemel.assemble("NOP\nNOP wait0=s1*1\nHALT")).wait()
        stream.launch(gemel.assemble("HALT")).wait()


def test_windows_survive_a_reset_and_end_with_their_stream() -> None:
    with open_golden() as device:
        stream = protected(device)
        number = stream.ring
        device.reset()
        assert device.read_register("ring", "window_rights", number) >> 31
        with pytest.raises(ValueError, match="none of the chip's 2 rings is free"):
            device.stream(watchdog=5)
        stream.close()
        stream = device.stream()
        assert stream.ring == number
        assert device.read_register("ring", "window_rights", number) == 0


def test_limits_are_named() -> None:
    window = Window(base=0, limit=4096)
    with open_golden() as device:
        with pytest.raises(ValueError, match="a stream has 2 windows, not 3"):
            device.stream(windows=[window] * 3)
        with pytest.raises(ValueError, match="multiples of 4096, not at 0x40 and 0x1000"):
            device.stream(windows=[Window(base=64, limit=4096)])
        with pytest.raises(ValueError, match=r"a watchdog lies in 0\.\.4294967295 cycles, not -1"):
            device.stream(watchdog=-1)


def test_registers_and_windows_say_the_same() -> None:
    windows = Windows((Window(base=0, limit=8192, read=True), Window(base=1 << 30, limit=1 << 31, write=True)), True)
    back = Windows.of_registers(windows.registers())
    assert back.windows[:2] == windows.windows and back.enforced
    assert [back.allows(address, "read") for address in (0, 8191, 8192, 1 << 30)] == [True, True, False, False]
    assert [back.allows(address, "write") for address in (0, 1 << 30, 1 << 31)] == [False, True, False]
    assert OPEN.allows(1 << 39, "write")
