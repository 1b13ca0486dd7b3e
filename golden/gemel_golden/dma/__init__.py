"""What the instructions of LOAD and STORE do: rows of bytes copied between memory and chunks of L1.

`values` are an instruction's decoded fields, with resolved addresses. A memory access goes out in bursts that end at
4 KB boundaries; one that begins beyond the memory's bytes (a multiple of 4096) is a fault with the burst's address,
which is aligned down to 64 bytes. Where one instruction has several faults, the one nearest to its first byte is
raised. What it wrote until then isn't specified.
"""

from gemel_golden.dma.execute import execute
from gemel_golden.dma.rows import row_addresses

__all__ = ["execute", "row_addresses"]
