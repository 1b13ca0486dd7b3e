"""Random MATMUL instructions for block tests, with their operands in an L1, and what golden makes of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, by_code, pack4
from gemel_golden.isa import INSTRUCTIONS, OPERAND_FORMATS, OUTPUT_FORMATS, BlockScale, Layout, Opcode, Scaled
from gemel_golden.l1 import chunk_addresses
from gemel_golden.tensor import d_multiple, matmul
from gemel_verif.stimulus import KINDS, operands

__all__ = ["Builder", "expected"]

MATMUL = INSTRUCTIONS[Opcode.MATMUL]


class Builder:
    """Lays matrices out in an L1 of random bytes and makes instructions that use them; nothing overlaps."""

    def __init__(self, rng: np.random.Generator, config: ChipConfig):
        self.rng, self.config = rng, config
        self.l1 = rng.integers(0, 256, config.l1_bytes).astype(np.uint8)
        self.free = 0
        """First word that nothing uses."""

    def region(self, words: int) -> int:
        """Address of so many fresh words. Raises ValueError when L1 is full."""
        first = self.free + int(self.rng.integers(0, 3))
        self.free = first + words
        if self.free * WORD > len(self.l1):
            raise ValueError(f"an L1 of {len(self.l1)} bytes is full")
        return first * WORD

    def matrix(self, rows: NDArray[Any]) -> tuple[int, int]:
        """Place rows of codes in tile layout; returns (address of chunk (0, 0), pitch)."""
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        address, pitch = self.room(*data.shape)
        place(self.l1, address, pitch, data)
        return address, pitch

    def room(self, rows: int, row_bytes: int) -> tuple[int, int]:
        """Fresh room for a matrix in tile layout; returns (address of chunk (0, 0), pitch)."""
        pitch = (rows + 1) // 2 + int(self.rng.integers(0, 3))
        address = self.region(pitch * -(-row_bytes // CHUNK))
        return address + CHUNK * int(self.rng.integers(0, 2)), pitch

    def instruction(self, **chosen: int) -> bytes:
        """A random MATMUL with its operands; fields named are as named."""
        rng = self.rng
        v = {
            "a_format": int(rng.choice(OPERAND_FORMATS)),
            "b_format": int(rng.choice(OPERAND_FORMATS)),
            "d_format": int(rng.choice(OUTPUT_FORMATS)),
            "m": 32 if rng.random() < 0.5 else int(rng.integers(1, 33)),
            "n": 32 if rng.random() < 0.5 else int(rng.integers(1, 33)),
            "k": int(rng.integers(1, 131)),
            "scale_mode": int(rng.integers(0, 3)),
            "saturate": int(rng.random() < 0.7),
            "rounding": int(rng.random() < 0.3),
            "block_scale": int(rng.choice([0, 0, 0, 1, 2, 3])),
        }
        v |= {n: int(rng.integers(0, 2)) for n in ("a_transposed", "b_transposed", "accumulate", "bias", "activation")}
        if v["a_format"] == v["b_format"] == 6 and rng.random() < 0.5:
            v["d_format"] = 1
            if rng.random() < 0.5:
                v |= {"scale_mode": 0, "bias": 0, "activation": 0}
        v |= chosen
        kind = str(rng.choice(KINDS))
        for name, rows in (("a", v["m"]), ("b", v["n"])):
            codes = operands(rng, by_code(v[f"{name}_format"]), (rows, v["k"]), kind)
            if codes.dtype == np.uint8 and by_code(v[f"{name}_format"]).bits == 4:
                codes = pack4(np.pad(codes, ((0, 0), (0, v["k"] % 2))))
            elif v[f"{name}_transposed"]:
                codes = codes.T
            v[name], v[f"{name}_pitch"] = self.matrix(codes)
            if v["block_scale"] and f"{name}_scales" not in v:
                scaled = v.setdefault(f"{name}_scaled", int(rng.integers(0, 3)))
                v[f"{name}_scales"] = self._scales(kind, v["block_scale"], scaled, v["k"]) // WORD - v[name] // WORD
        if v["accumulate"] and "c" not in v:
            v["c"], v["c_pitch"] = self.matrix(self._words(kind, (v["m"], v["n"])))
        if "d" not in v:
            v["d"], v["d_pitch"] = self._d(v["m"], v["n"], by_code(v["d_format"]))
        if v["scale_mode"] == 1:
            v["scale"] = int(self._words(kind, (1,))[0])
        for name, used in (("scale_at", v["scale_mode"] == 2), ("bias_at", v["bias"] or v["rounding"])):
            if used and name not in v:
                v[name] = self.region(2 + (name == "bias_at"))
                self.l1[v[name] :][: 4 * v["n"]] = self._words(kind, (v["n"],)).view(np.uint8)
        return MATMUL.encode(**v)

    def _scales(self, kind: str, mode: int, scaled: int, k: int) -> int:
        """Address of fresh lines of block scales."""
        rng = self.rng
        if mode == BlockScale.FP32:
            lines = self._words(kind, (-(-k // 128), 8 if scaled == Scaled.TILE else 32)).view(np.uint8)
        else:
            spread = int(rng.choice([2, 20, 127]))
            top, size = (128 + spread, 32) if mode == BlockScale.MX else (127, 16)
            lines = rng.integers(127 - spread, top, (-(-k // size), 32)).astype(np.uint8)
            lines[rng.random(lines.shape) < (0.01 if kind == "special" else 0.0)] = 0xFF
        address = self.region(-(-lines.size // WORD))
        self.l1[address:][: lines.size] = lines.ravel()
        return address

    def _d(self, m: int, n: int, fmt: Format) -> tuple[int, int]:
        """Room for D, at a random offset within its first chunk column."""
        address, pitch = self.room(m, 2 * CHUNK + n * fmt.bits // 8)
        step = d_multiple(fmt)
        return address + step * int(self.rng.integers(0, CHUNK // step)), pitch

    def _words(self, kind: str, shape: tuple[int, ...]) -> NDArray[np.uint32]:
        """FP32 bits: any at all now and then, else numbers of a common size."""
        rng = self.rng
        if kind == "uniform_codes":
            return rng.integers(0, 1 << 32, shape, dtype=np.uint32)
        words = (rng.normal(0, 1, shape) * np.exp2(rng.integers(-12, 12))).astype(np.float32).view(np.uint32)
        specials = np.array([0, 1 << 31, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0001, 1, 0x7F7F_FFFF], np.uint32)
        rare = rng.random(shape) < (0.02 if kind == "special" else 0.0)
        return np.where(rare, rng.choice(specials, shape), words)


def place(l1: NDArray[np.uint8], address: int, pitch: int, data: NDArray[np.uint8]) -> None:
    """Write rows of bytes in tile layout; the rest of their last chunks stays as it is."""
    position = np.arange(data.shape[1])
    row = np.arange(len(data))[:, None]
    chunks = chunk_addresses(Layout.TILE, address // CHUNK, pitch, row, position // CHUNK)
    l1[chunks * CHUNK + position % CHUNK] = data


def expected(l1: NDArray[np.uint8], instructions: list[bytes]) -> tuple[NDArray[np.uint8], Flags, Fault | None]:
    """Golden's L1 after these instructions, its flags, and the fault that stopped them."""
    l1, flags = l1.copy(), Flags()
    for pc, raw in enumerate(instructions):
        try:
            flags |= matmul(MATMUL.decode(raw), l1)
        except Fault as fault:
            fault.pc = pc
            return l1, flags, fault
    return l1, flags, None
