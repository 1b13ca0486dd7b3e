"""Arrays through a bank of pipelined components: one call, one vector per lane and cycle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_verif.numeric_benches import Lanes, as_ports
from gemel_verif.runner import simulate

__all__ = ["through"]

_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def through(
    bank: Lanes, name: str, latency: int, outputs: tuple[str, ...], operands: dict[str, NDArray[Any]], **scenario: Any
) -> dict[str, NDArray[Any]]:
    """`outputs` of `bank` for `operands` of shape (n,), n a multiple of the lanes; `scenario`: see `tb_stream`."""
    ports = {
        port: as_ports(values.astype(_DTYPES[bank.stride(port)]).reshape(-1, bank.count))
        for port, values in operands.items()
    }
    inputs = {"ports": ports, "outputs": outputs, "latency": latency, **scenario}
    strides = {port: bank.stride(port) for port in outputs}
    count = bank.count
    results = simulate(bank, name, "tb_stream", inputs)
    return {
        port: np.frombuffer(
            b"".join(v.to_bytes(count * strides[port] // 8, "little") for v in results[port]), _DTYPES[strides[port]]
        )
        for port in outputs
    }
