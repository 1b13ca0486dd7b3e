"""The command `gemel`: output for people and machines, exit codes, errors as one sentence."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gemel import cli
from gemel.bench import dma, vector
from gemel.bench import matmul as bench
from gemel.driver.faults import DeviceTimeout
from gemel.kernels.matmul_reference import fused_reference, matmul_reference
from gemel.sim.build import BuildError

PROGRAM = str(Path(sys.executable).with_name("gemel"))


@pytest.fixture
def gemel(monkeypatch, capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gemel", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        assert code is None or isinstance(code, int)
        output = capsys.readouterr()
        return code or 0, output.out, output.err

    return run


PRODUCT = ("bench", "matmul", "--m", "33", "--n", "40", "--k", "70", "--backend", "golden", "--chip", "nano")


def test_help_is_quick():
    assert "bench" in subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    modules = "import sys, gemel.cli; print([m for m in ('numpy', 'amaranth', 'matplotlib') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", modules], text=True) == "[]\n"


def test_info_tells_chips_and_tools(gemel):
    code, out, _ = gemel("info", "--json")
    values = json.loads(out)
    assert code == 0
    assert {chip["name"]: chip["macs_8bit"] for chip in values["chips"]}["inference"] == 1024
    assert "golden" in values["backends"]
    assert values["tools"]["numpy"]
    code, out, _ = gemel("info")
    assert (code, "inference" in out, "Cache" in out) == (0, True, True)


@pytest.mark.parametrize("operands", ["l1", "memory"])
@pytest.mark.parametrize("layout", bench.LAYOUTS)
@pytest.mark.parametrize("dtype", ["e4m3", "bf16"])
def test_bench_matmul(gemel, operands, layout, dtype):
    code, out, err = gemel(*PRODUCT, "--operands", operands, "--layout", layout, "--dtype", dtype, "--json")
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert values["exact"] is True
    assert (values["macs"], values["peak_macs_per_cycle"]) == (33 * 40 * 70, 64 if dtype == "bf16" else 128)
    assert {"cycles", "utilisation", "seconds", "mmac_per_second"} <= set(values)


@pytest.mark.parametrize("name", ["gelu_aux_bias", "drelu_bgrad", "bgrada"])
def test_bench_matmul_with_an_epilogue(gemel, monkeypatch, name):
    code, out, err = gemel(*PRODUCT, "--epilogue", name, "--json")
    assert (code, err, json.loads(out)["exact"]) == (0, "", True)

    def other(*arguments, **options):
        codes, aux, gradient = fused_reference(*arguments, **options)
        return codes, *(None if x is None else np.bitwise_xor(x, 1) for x in (aux, gradient))

    monkeypatch.setattr("gemel.bench.epilogue.fused_reference", other)
    code, out, _ = gemel(*PRODUCT, "--epilogue", name, "--json")
    assert (code, json.loads(out)["exact"]) == (1, False)


def test_bench_matmul_refuses_an_unknown_epilogue_and_one_in_l1(gemel):
    code, _, err = gemel(*PRODUCT, "--epilogue", "swish")
    assert code == 2 and "no epilogue 'swish'; there are default, bias, relu" in err
    code, _, err = gemel(*PRODUCT, "--epilogue", "gelu", "--operands", "l1")
    assert code == 2 and "epilogue 'gelu' is of products from memory; in L1 there is the product alone" in err


def test_bench_decode(gemel):
    options = ("--n", "40", "--k", "70", "--b-dtype", "int4", "--dtype", "int8", "--backend", "golden", "--json")
    code, out, _ = gemel("bench", "decode", *options)
    values = json.loads(out)
    assert code == 0 and values["exact"] is True and values["bytes"] == 70 + 40 * 35
    assert values["cycles"] is None and values["bandwidth_utilisation"] is None


def test_bench_scaling(gemel):
    options = ("--cores", "1,4", "--m", "96", "--n", "40", "--k", "64", "--backend", "golden", "--json")
    code, out, _ = gemel("bench", "scaling", *options)
    values = json.loads(out)
    assert code == 0 and values["exact"] is True
    assert values["cores"] == [1, 4] and values["cycles"] == [None, None] and values["speedup"] == [None, None]
    code, _, err = gemel("bench", "scaling", "--cores", "one", "--backend", "golden")
    assert code == 2 and "--cores takes numbers with commas between, as 1,2,4, not 'one'" in err


@pytest.mark.parametrize("op", ["softmax", "attention", "conv2d"])
def test_bench_scaling_of_other_work(gemel, op):
    sizes = ("--m", "256", "--n", "64", "--k", "32") if op == "conv2d" else ("--m", "40", "--n", "128")
    code, out, _ = gemel("bench", "scaling", "--op", op, "--cores", "1,2", *sizes, "--backend", "golden", "--json")
    values = json.loads(out)
    assert code == 0 and values["exact"] is True and values["speedup"] == [None, None]


@pytest.mark.parametrize(
    ("op", "message"), [("sum", "matmul, softmax, attention, conv2d, not 'sum'"), ("conv2d", "m = 40 isn't a multiple")]
)
def test_bench_scaling_of_what_isnt_there(gemel, op, message):
    code, _, err = gemel("bench", "scaling", "--op", op, "--m", "40", "--backend", "golden")
    assert code == 2 and message in err.replace("\n", " ")


def test_bench_for_people(gemel):
    code, out, _ = gemel(*PRODUCT)
    assert (code, "peak macs per cycle" in out, "92,400" in out) == (0, True, True)


def test_bench_shapes(gemel):
    options = ("--backend", "golden", "--chip", "nano", "--count", "12", "--largest", "40", "--json")
    code, out, _ = gemel("bench", "shapes", *options)
    values = json.loads(out)
    assert (code, values["exact"], values["count"]) == (0, True, 12)


VECTOR = {
    "softmax": ("--rows", "7", "--cols", "70"),
    "norm": ("--rows", "7", "--cols", "70"),
    "elementwise": ("--op", "gelu_tanh", "--elements", "640"),
    "optimizer": ("--name", "adamw", "--elements", "640"),
}


@pytest.mark.parametrize("operands", ["l1", "memory"])
@pytest.mark.parametrize("command", VECTOR)
def test_bench_of_the_vector_core(gemel, command, operands):
    place = ("--operands", operands, "--backend", "golden", "--chip", "nano", "--json")
    code, out, err = gemel("bench", command, *VECTOR[command], *place)
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert values["exact"] is True
    assert (values["utilisation"], values["mmac_per_second"]) == (0, 0)
    assert values["elements"] == (490 if "--rows" in VECTOR[command] else 640)
    assert {"cycles", "cycles_per_vector", "bandwidth_utilisation", "seconds"} <= set(values)


@pytest.mark.parametrize("op", dma.OPERATIONS)
def test_bench_dma(gemel, op):
    options = ("--op", op, "--row-bytes", "96", "--stride", "128", "--bytes", "100000")
    code, out, _ = gemel("bench", "dma", *options, "--backend", "golden", "--chip", "nano", "--json")
    figures = json.loads(out)
    assert (code, figures["exact"], figures["cycles"]) == (0, True, None)
    assert {"bytes", "bandwidth_utilisation", "outstanding"} < set(figures)


def test_bench_copy(gemel):
    options = ("--size", "1000", "--bytes", "10500", "--source-offset", "7", "--target-offset", "130")
    code, out, _ = gemel("bench", "copy", *options, "--backend", "golden", "--chip", "nano", "--json")
    assert code == 0
    expected = {"cycles": None, "bytes": 10_000, "copies": 10, "bandwidth_utilisation": None, "exact": True}
    assert json.loads(out) == expected
    code, out, _ = gemel("bench", "copy", *options, "--count", "3", "--backend", "golden", "--chip", "nano", "--json")
    assert (code, json.loads(out)) == (0, expected | {"bytes": 3000, "copies": 3})
    code, _, err = gemel("bench", "copy", "--size", "0", "--backend", "golden", "--chip", "nano")
    assert code == 2 and "a copy has at least 1 byte here, not 0" in err
    code, _, err = gemel("bench", "copy", "--count", "0", "--backend", "golden", "--chip", "nano")
    assert code == 2 and "there is at least 1 copy here, not 0" in err


def test_bench_tells_a_wrong_result(gemel, monkeypatch):
    monkeypatch.setattr(vector, "_bits", lambda array: array.ctypes.data)
    code, out, err = gemel("bench", "softmax", *VECTOR["softmax"], "--backend", "golden", "--chip", "nano", "--json")
    assert (code, json.loads(out)["exact"]) == (1, False)
    assert "differs" in err


def test_bench_of_host_speed(gemel):
    code, out, _ = gemel("bench", "golden", "--size", "64", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"bf16", "fp16", "e4m3", "e5m2", "int8", "e2m1", "int4"}
    code, out, _ = gemel("bench", "simulation", "--size", "48", "--backend", "golden", "--chip", "nano", "--json")
    assert code == 0
    assert json.loads(out)["golden_mmac_per_second"] > 0


def test_an_inexact_result_is_exit_code_1(gemel, monkeypatch):
    def other(*arguments, **options):
        codes, flags = matmul_reference(*arguments, **options)
        codes[0, 0] ^= 1
        return codes, flags

    monkeypatch.setattr("gemel.bench.matmul.matmul_reference", other)
    code, out, err = gemel(*PRODUCT, "--json")
    assert (code, json.loads(out)["exact"]) == (1, False)
    assert err == "gemel: the result differs from the golden model's\n"


WRONG = {
    "chip": (("run", "digits", "--chip", "giga"), "gemel: no chip 'giga'; there are nano, inference, training"),
    "backend": (("run", "digits", "--backend", "fpga"), "gemel: no back end 'fpga'; there are rtl, golden"),
    "dtype": ((*PRODUCT, "--dtype", "fp7"), "gemel: unknown dtype 'fp7'; there are fp32,"),
    "operand dtype": ((*PRODUCT, "--dtype", "fp32"), "gemel: a is fp32; the tensor core multiplies"),
    "operands": ((*PRODUCT, "--operands", "disk"), "gemel: operands are in l1 or in memory, not in 'disk'"),
    "place": (("bench", "softmax", *VECTOR["softmax"], "--operands", "disk"), "gemel: operands are in l1 or in memory"),
    "function": (("bench", "elementwise", "--op", "f", "--elements", "9"), "gemel: no elementwise function 'f'; there"),
    "optimizer": (("bench", "optimizer", "--name", "x", "--elements", "9"), "gemel: no optimizer 'x'; there are adamw"),
    "pattern": (("bench", "memory", "--pattern", "zigzag"), "gemel: no pattern 'zigzag'; there are sequential,"),
    "memory": (("bench", "memory", "--memory", "ddr5"), "gemel: no memory 'ddr5'; there are hbm2, hbm3"),
    "layout": ((*PRODUCT, "--layout", "xy"), "gemel: no layout 'xy'; there are nt, nn, tn, tt"),
    "L1": (
        (*PRODUCT, "--operands", "l1", "--k", "9000"),
        "bytes don't fit into the 131,072 bytes of L1 of the nano chip",
    ),
    "count": (
        ("bench", "shapes", "--count", "0", "--backend", "golden"),
        "gemel: a benchmark of shapes needs at least 1",
    ),
    "waves": (("waves", "absent.vcd"), "gemel: no waves at absent.vcd"),
    "option": (("bench", "matmul", "--m", "3"), "Missing option '--n'"),
    "side": ((*PRODUCT, "--m", "0"), "'--m'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_arguments_are_exit_code_2_and_a_sentence(gemel, name):
    arguments, sentence = WRONG[name]
    code, out, err = gemel(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeviceTimeout("the chip hangs"), 3), (BuildError("g++ ended"), 4), (KeyError("a mistake"), 70)],
)
def test_exit_codes_of_failures(gemel, monkeypatch, error, code):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr(bench, "from_memory", failing)
    found, _, err = gemel(*PRODUCT)
    assert found == code
    assert err.endswith(f"gemel: {error}\n")
    assert ("Traceback" in err) == (code == 70)
    found, _, err = gemel(*PRODUCT, "--traceback")
    assert (found, "Traceback" in err) == (code, True)


def test_run_digits_prints_tables_and_draws(gemel, tmp_path):
    begun = time.monotonic()
    code, out, err = gemel("run", "digits", "--backend", "golden", "--out", str(tmp_path))
    assert code == 0
    assert "Every byte of every layer equals" in out
    assert "training" in err
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert time.monotonic() - begun < 120


def test_run_digits_for_machines(gemel, tmp_path):
    code, out, err = gemel("run", "digits", "--backend", "golden", "--chip", "nano", "--out", str(tmp_path), "--json")
    values = json.loads(out)
    assert (code, err, values["exact"]) == (0, "", True)
    assert [len(network["layers"]) for network in values["networks"]] == [3, 3]
    assert values["files"] == [str(tmp_path / "digits.png")]
