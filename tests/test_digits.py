"""The digits demo on the golden back end: accuracy, exactness, and what a wrong byte leads to."""

import json

import numpy as np
import pytest

import gemel
from gemel.driver.device import TraceEvent
from gemel.models import digits as model
from gemel.models.digits_demo import run_demo
from gemel.report.pictures import draw_digits
from gemel.report.timeline import Section, draw_timeline, write_trace
from gemel_golden.isa import Unit


@pytest.fixture(scope="module")
def report():
    with gemel.open("inference", "golden") as device, gemel.open("inference", "golden") as golden:
        yield run_demo(device, golden, "golden")


def test_the_split_is_fixed_and_whole():
    digits = model.load_digits()
    assert (len(digits.train_images), len(digits.test_images)) == (1437, 360)
    assert set(np.unique(digits.test_images)) == set(range(17))
    again = model.load_digits()
    np.testing.assert_array_equal(digits.test_images, again.test_images)
    both = np.concatenate([digits.train_images, digits.test_images])
    assert len(np.unique(both, axis=0)) == 1797


def test_accuracies(report):
    accuracies = [report.float_accuracy, *(report.accuracy(network.chip) for network in report.networks)]
    assert min(accuracies) >= 0.96
    assert max(accuracies) - min(accuracies) <= 0.02


def test_every_layer_is_exact_and_quantised(report):
    assert [network.format for network in report.networks] == ["int8", "e4m3"]
    for network in report.networks:
        assert network.differences == [None, None, None]
        assert [layer.out.name for layer in network.chip.layers] == [network.format, network.format, "fp32"]
    assert report.exact
    assert json.loads(json.dumps(report.as_dict()))["exact"] is True


def test_the_codes_use_their_range(report):
    """Post-training scales let the largest activation of the training images reach the format's largest value."""
    for network in report.networks:
        for layer in network.chip.layers[:-1]:
            assert layer.codes.max() >= 0.9 * layer.out.largest
            assert layer.codes.max() <= layer.out.largest


def test_a_wrong_byte_is_found():
    found = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = found.copy()
    assert model.first_difference(found, expected) is None
    expected[1, 2] = 0x7F
    expected[2, 3] = 0
    assert model.first_difference(found, expected) == "2 of 12 elements differ, first (1, 2): 0x6 instead of 0x7f"
    assert model.first_difference(found, expected[:2]) == "shape (3, 4) is not (2, 4)"


def test_a_wrong_bit_on_the_chip_makes_the_demo_fail(monkeypatch):
    def flawed(a, *arguments, **options):
        product = gemel.matmul(a, *arguments, **options)
        if a.device is device and product.dtype == "e4m3":
            codes = product.codes()
            codes[5, 6] ^= 1
            product.write_codes(codes)
        return product

    monkeypatch.setattr("gemel.models.digits.matmul", flawed)
    with gemel.open("nano", "golden") as device, gemel.open("nano", "golden") as golden:
        flaws = run_demo(device, golden, "golden")
    assert not flaws.exact
    assert flaws.networks[0].differences == [None, None, None]
    assert "first (5, 6)" in (flaws.networks[1].differences[0] or "")


def test_pictures_and_trace(tmp_path, rng):
    labels = rng.integers(0, 10, 80)
    predictions = np.where(np.arange(80) % 16 == 0, (labels + 1) % 10, labels)
    draw_digits(tmp_path / "digits.png", rng.integers(0, 17, (80, 64)).astype(np.float32), labels, predictions, "title")
    events = [
        TraceEvent(Unit.LOAD, 0, 100, 150),
        TraceEvent(Unit.TENSOR, 1, 130, 190),
        TraceEvent(Unit.STORE, 2, 180, 260),
    ]
    rows = [("INT8", [Section(name="layer 1", remark="", events=events)])]
    draw_timeline(tmp_path / "timeline.png", rows)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("digits.png", "timeline.png"))
    write_trace(tmp_path / "trace.json", rows, clock_hz=1e9)
    spans = [e for e in json.loads((tmp_path / "trace.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert [(e["tid"], e["ts"], e["dur"]) for e in spans] == [(1, 0.1, 0.05), (2, 0.13, 0.06), (3, 0.18, 0.08)]
    with pytest.raises(ValueError, match="no events to draw"):
        draw_timeline(tmp_path / "none.png", [("INT8", [Section(name="layer 1", remark="", events=[])])])
