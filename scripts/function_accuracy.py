"""Measures the FP32 functions of the golden model on all 2^32 inputs, or a share of them, and prints their errors.

Fails when a function is further from the exact value than docs/functions.md promises.
"""

import argparse
import sys
import time
from typing import NamedTuple

import numpy as np

from gemel_golden.function_judge import reference, ulp_errors
from gemel_golden.functions import Function, evaluate

CHUNK = 1 << 14
PROMISE = 1.0


class Worst(NamedTuple):
    """The greatest error in ulps, where it is, and how many results are not the nearest FP32 number."""

    ulps: float
    bits: int
    misrounded: int
    inputs: int


def measure(function: Function, first: int = 0, last: int = 0xFFFF_FFFF, stride: int = 1) -> Worst:
    """The worst of the inputs first, first + stride, ... up to last."""
    worst, at, misrounded, inputs = -1.0, first, 0, 0
    for start in range(first, last + 1, CHUNK * stride):
        bits = np.arange(start, min(start + CHUNK * stride, last + 1), stride).astype(np.uint32)
        errors = ulp_errors(evaluate(function, bits), reference(function, bits))
        i = int(errors.argmax())
        if errors[i] > worst:
            worst, at = float(errors[i]), int(bits[i])
        misrounded += int(np.count_nonzero(errors > 0.5))
        inputs += bits.size
    return Worst(worst, at, misrounded, inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "functions", nargs="*", help=f"any of {', '.join(f.name.lower() for f in Function)}; default all"
    )
    parser.add_argument("--stride", type=int, default=1, help="take every n-th input (default all)")
    arguments = parser.parse_args()
    chosen = [Function[name.upper()] for name in arguments.functions] or list(Function)
    print("| function | inputs | greatest error, ulp | at | not the nearest |\n| --- | --- | --- | --- | --- |")
    failed = False
    for function in chosen:
        began = time.monotonic()
        worst = measure(function, stride=arguments.stride)
        share = f"{worst.misrounded / worst.inputs:.3%}"
        name = function.name.lower()
        print(f"| {name} | {worst.inputs} | {worst.ulps:.4f} | `0x{worst.bits:08X}` | {share} |", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        failed |= worst.ulps > PROMISE
    sys.exit(failed)


if __name__ == "__main__":
    main()
