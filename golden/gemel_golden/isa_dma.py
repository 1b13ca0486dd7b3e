"""The rows of the instruction table that are LOAD's and STORE's units'."""

from dataclasses import replace

from gemel_golden.encoding import RANKS, AddressSlot, Field, Instruction, Opcode, Unit

__all__ = ["DMA", "NO_ROW"]

_LAYOUT = Field(name="layout", lsb=8, width=1, doc="L1 layout: 0 linear, 1 tile")
_PITCH = Field(
    name="pitch", lsb=272, width=16, doc="tile: words between chunk columns (rows / 2); linear: chunks between rows"
)
_BYTES = Field(name="bytes", lsb=408, width=17, lo=1, hi=1 << 16, default=1, doc="bytes of a row in L1")
_FILL = Field(name="fill", lsb=458, width=32, doc="four bytes repeated from each row's start as padding")
_DMA_ROWS = (
    Field(name="count1", lsb=224, width=16, lo=1, default=1, doc="rows of dimension 1 (the innermost)"),
    Field(name="count2", lsb=240, width=16, lo=1, default=1, doc="dimension 2"),
    Field(name="count3", lsb=256, width=16, lo=1, default=1, doc="dimension 3"),
    Field(name="stride1", lsb=288, width=40, signed=True, doc="bytes in memory between rows of dimension 1"),
    Field(name="stride2", lsb=328, width=40, signed=True, doc="bytes in memory, dimension 2"),
    Field(name="stride3", lsb=368, width=40, signed=True, doc="bytes in memory, dimension 3"),
    _BYTES,
)
_DMA_SHAPE = (*_DMA_ROWS, _PITCH)
_DMA_INDEXED = (
    _LAYOUT,
    _PITCH,
    _BYTES,
    Field(name="count1", lsb=224, width=16, lo=1, default=1, doc="rows, and indices"),
    Field(name="stride", lsb=352, width=40, signed=True, doc="bytes in memory between rows of successive indices"),
    Field(
        name="limit", lsb=425, width=32, default=(1 << 32) - 1, doc="least index that is a fault, but for 0xffffffff"
    ),
)
_CONVERTED = (0, 2, 3, 4, 5)
_CONVERSION = (
    replace(_BYTES, hi=1 << 14, doc="bytes of a row before the conversion, rounded up to whole elements"),
    Field(name="count1", lsb=224, width=16, lo=1, default=1, doc="rows"),
    Field(name="stride1", lsb=352, width=40, signed=True, doc="bytes in memory between rows"),
    Field(name="source_format", lsb=9, width=4, legal=_CONVERTED, doc="format code: FP32, BF16, FP16, E4M3 or E5M2"),
    Field(name="target_format", lsb=13, width=4, legal=_CONVERTED, doc="one of the same"),
    Field(
        name="block_scale",
        lsb=17,
        width=2,
        legal=(0, 1, 3),
        doc="in the place of `factor`: 1 an MX scale for each 32 elements, 3 an FP32 scale for each 128",
    ),
)
NO_ROW = (1 << 32) - 1
"""The index that names no row: GATHER fills such a row, SCATTER and SCATTER_ADD leave it out."""
_MEM = AddressSlot(name="mem", slot=0, memory=True, doc="memory address of the first byte; any alignment")
_L1 = AddressSlot(name="l1", slot=1, memory=False, multiple=32, doc="L1 byte address of chunk (0, 0)")
_INDICES = AddressSlot(
    name="indices", slot=5, memory=False, multiple=4, doc="L1 byte address of the list of indices, 32 bits each"
)

_FACTOR = AddressSlot(name="factor", slot=5, memory=False, doc="FP32 bits that every element is multiplied by")

DMA = (
    Instruction(
        opcode=Opcode.LOAD,
        unit=Unit.LOAD,
        fields=(
            _LAYOUT,
            *_DMA_SHAPE,
            Field(
                name="valid_bytes",
                lsb=425,
                width=17,
                hi=1 << 16,
                doc="bytes of a row that memory has; the rest is fill",
            ),
            Field(name="valid1", lsb=442, width=16, doc="rows of dimension 1 that memory has; the rest is fill"),
            Field(
                name="cores",
                lsb=490,
                width=RANKS,
                doc="mask of ranks: the cores whose L1 and semaphores it writes and gives; 0: this one's",
            ),
            _FILL,
        ),
        addresses=(_MEM, _L1),
        doc=(
            "Copies rows from memory to L1. Row r = (i3 * count2 + i2) * count1 + i1 comes from "
            "mem + i1 * stride1 + i2 * stride2 + i3 * stride3. Its first min(bytes, valid_bytes) bytes are "
            "memory's where i1 < valid1; the rest of `bytes`, and up to the end of the last chunk, is `fill`."
        ),
    ),
    Instruction(
        opcode=Opcode.GATHER,
        unit=Unit.LOAD,
        fields=(*_DMA_INDEXED, _FILL),
        addresses=(_MEM, _L1, _INDICES),
        doc=(
            "Copies rows that a list names from memory to L1: row r comes from mem + stride * index r. Index "
            "0xffffffff names no row: r is `fill`. Any other index from `limit` on is a fault (INDEX)."
        ),
    ),
    Instruction(
        opcode=Opcode.IM2COL,
        unit=Unit.LOAD,
        fields=(
            _LAYOUT,
            *_DMA_SHAPE,
            _FILL,
            Field(name="dx", lsb=9, width=5, doc="columns of the image between rows of dimension 1"),
            Field(name="dy", lsb=14, width=5, doc="lines of the image between rows of dimension 2"),
            Field(name="height", lsb=19, width=13, doc="lines of the image"),
            Field(name="x", lsb=425, width=16, signed=True, doc="column of the image of the first row"),
            Field(name="y", lsb=441, width=16, signed=True, doc="line of the image of the first row"),
            Field(name="width", lsb=490, width=13, doc="columns of the image"),
        ),
        addresses=(_MEM, _L1),
        doc=(
            "A LOAD of pixels, for one tap of a convolution: row (i1, i2, i3), addressed as LOAD's, is the pixel "
            "in column x + i1 * dx of line y + i2 * dy. Where that lies outside of the image, the row is `fill`."
        ),
    ),
    Instruction(
        opcode=Opcode.LOAD_TRANSPOSED,
        unit=Unit.LOAD,
        fields=(
            _LAYOUT,
            _PITCH,
            _FILL,
            Field(name="count1", lsb=224, width=16, lo=1, default=1, doc="rows in memory; see below for the most"),
            Field(name="stride1", lsb=288, width=40, signed=True, doc="bytes in memory between rows"),
            replace(_BYTES, doc="bytes of a row in memory, rounded up to whole elements"),
            Field(name="element", lsb=9, width=2, hi=2, doc="elements of 1, 2 or 4 bytes"),
        ),
        addresses=(_MEM, _L1),
        doc=(
            "Copies a matrix from memory to L1 and transposes it: row c of L1 has element c of each of the rows, "
            "the first `count1` of them but no more than 64 bytes' worth (64, 32 or 16), and `fill` up to the end "
            "of its last chunk. A higher matrix is several instructions, each 64 bytes further along L1's rows."
        ),
    ),
    Instruction(
        opcode=Opcode.STORE,
        unit=Unit.STORE,
        fields=(_LAYOUT, *_DMA_SHAPE),
        addresses=(_MEM, _L1),
        doc="Copies rows of exactly `bytes` bytes from L1 to memory; the same shape and addressing as LOAD.",
    ),
    Instruction(
        opcode=Opcode.SCATTER,
        unit=Unit.STORE,
        fields=_DMA_INDEXED,
        addresses=(_MEM, _L1, _INDICES),
        doc=(
            "Copies rows from L1 to places in memory that a list names, in its order: row r goes to "
            "mem + stride * index r. Index 0xffffffff leaves r out. Any other from `limit` on is a fault (INDEX)."
        ),
    ),
    Instruction(
        opcode=Opcode.SCATTER_ADD,
        unit=Unit.STORE,
        fields=(
            *(replace(f, lo=4, default=4, multiple=4) if f.name == "bytes" else f for f in _DMA_INDEXED),
            Field(name="format", lsb=9, width=4, legal=(0, 1, 2), doc="format code: FP32, INT32 or BF16"),
        ),
        addresses=(_MEM, _L1, _INDICES),
        doc=(
            "Adds rows of L1 to rows of memory that a list names, in its order, as SCATTER would write them: an "
            "index that comes twice gets both sums one after the other. FP32 and BF16 add in FP32, to nearest "
            "even, BF16 being rounded again; INT32 wraps."
        ),
    ),
    Instruction(
        opcode=Opcode.STORE_CONVERT,
        unit=Unit.STORE,
        fields=(
            _LAYOUT,
            _PITCH,
            *_CONVERSION,
            Field(name="scales", lsb=425, width=40, signed=True, doc="bytes from mem to the first row of scales"),
            Field(name="scale_stride", lsb=465, width=32, signed=True, doc="bytes between rows of scales"),
        ),
        addresses=(_MEM, _L1, _FACTOR),
        doc=(
            "Copies rows from L1 to memory and converts their elements: to FP32, times `factor` with one "
            "rounding, to the target with another, nearest even; FP8 saturates. With `block_scale` each block of "
            "elements of a row, the last one filled up with zeros, has a scale of its own, and the scales follow "
            "each row of elements as a row at mem + scales + row * scale_stride. MX, for 32 elements: 2^-127 to "
            "2^127, floor(log2(amax)) minus the target's greatest exponent (0 unless E4M3 or E5M2), or NaN where "
            "the block has an infinity or a NaN; elements are divided by it; E8M0 codes. FP32, for 128 elements: "
            "amax / most, elements times most / amax, both quotients rounded to nearest even, amax at least "
            "2^-100, most 448 for E4M3, else 57344."
        ),
    ),
    Instruction(
        opcode=Opcode.FILL,
        unit=Unit.STORE,
        fields=(*_DMA_ROWS, _FILL),
        addresses=(_MEM,),
        doc="Fills rows of memory with a constant; addressing as STORE's. (LOAD with valid1 = 0 fills rows of L1.)",
    ),
)
"""In the order of the table."""
