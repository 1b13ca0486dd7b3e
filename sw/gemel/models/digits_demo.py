"""The demo: the digits network in every format on a chip, on golden and in NumPy, and what the three agree on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gemel.driver.device import Device
from gemel.models import digits as model
from gemel_golden.config import ChipConfig

__all__ = ["CLOCK_HZ", "DigitsReport", "NetworkReport", "run_demo"]

CLOCK_HZ = 1e9
"""The clock at which simulated cycles are told as time."""


@dataclass(frozen=True, kw_only=True)
class NetworkReport:
    """One format: the runs on the chip and on golden, and each layer's first difference (``None``: exact)."""

    format: str
    chip: model.NetworkRun
    golden: model.NetworkRun
    differences: list[str | None]

    @property
    def exact(self) -> bool:
        """Whether every byte of every layer is the same on the chip, on golden and in NumPy."""
        return not any(self.differences)

    @property
    def cycles(self) -> int:
        """Cycles of all launches, each from its doorbell to its interrupt; 0 without a clock."""
        return sum(layer.total_cycles for layer in self.chip.layers)


@dataclass(frozen=True, kw_only=True)
class DigitsReport:
    """The whole demo on one chip and back end."""

    chip: ChipConfig
    backend: str
    digits: model.Digits
    float_accuracy: float
    networks: list[NetworkReport]
    train_seconds: float

    @property
    def exact(self) -> bool:
        """Whether every network is."""
        return all(network.exact for network in self.networks)

    def accuracy(self, run: model.NetworkRun) -> float:
        """Share of the test images that a run reads right."""
        return float((run.predictions == self.digits.test_labels).mean())

    def utilisation(self, macs: int, cycles: int) -> float | None:
        """Share of the 8-bit multiply-accumulates that all cores offered in `cycles`, or ``None`` without a clock."""
        return macs / (cycles * self.chip.macs_8bit * self.chip.cores) if cycles else None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "chip": self.chip.name,
            "backend": self.backend,
            "images": len(self.digits.test_labels),
            "float_accuracy": self.float_accuracy,
            "exact": self.exact,
            "train_seconds": self.train_seconds,
            "networks": [self._network(network) for network in self.networks],
        }

    def _network(self, network: NetworkReport) -> dict[str, Any]:
        macs = sum(layer.macs for layer in network.chip.layers)
        layers = zip(network.chip.layers, network.differences, strict=True)
        return {
            "format": network.format,
            "accuracy": self.accuracy(network.chip),
            "golden_accuracy": self.accuracy(network.golden),
            "exact": network.exact,
            "cycles": network.cycles,
            "macs": macs,
            "utilisation": self.utilisation(macs, network.cycles),
            "simulated_seconds": network.cycles / CLOCK_HZ,
            "host_seconds": network.chip.seconds,
            "layers": [
                {
                    "m": layer.m,
                    "n": layer.n,
                    "k": layer.k,
                    "out_dtype": layer.out.name,
                    "macs": layer.macs,
                    "launch_cycles": layer.cycles,
                    "cycles": layer.total_cycles,
                    "utilisation": self.utilisation(layer.macs, layer.total_cycles),
                    "exact": difference is None,
                    "difference": difference,
                }
                for layer, difference in layers
            ],
        }


def run_demo(
    device: Device, golden: Device, backend: str, say: Callable[[str], object] = lambda text: None
) -> DigitsReport:
    """Train, quantise, and run every layer on `device`; compare with `golden` and with NumPy. `say` hears each step."""
    say("training 64-64-32-10 in NumPy")
    digits = model.load_digits()
    begun = time.monotonic()
    layers = model.train_network(digits)
    seconds = time.monotonic() - begun
    networks = []
    for fmt in model.FORMATS:
        say(f"{fmt} on the {device.config.name} chip ({backend})")
        quantised = model.quantised_network(layers, digits, fmt)
        chip = model.run_network(device, quantised, digits.test_images)
        expected = model.run_network(golden, quantised, digits.test_images)
        reference = model.reference_codes(quantised, digits.test_images)
        differences = [
            model.first_difference(found.codes, codes) or model.first_difference(model_codes.codes, codes)
            for found, model_codes, codes in zip(chip.layers, expected.layers, reference, strict=True)
        ]
        networks.append(NetworkReport(format=fmt, chip=chip, golden=expected, differences=differences))
    return DigitsReport(
        chip=device.config,
        backend=backend,
        digits=digits,
        float_accuracy=model.float_accuracy(layers, digits),
        networks=networks,
        train_seconds=seconds,
    )
