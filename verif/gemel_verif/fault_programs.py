"""Programs that must be stopped, as text, and the fault record that each must leave; for a memory of 1 MiB."""

FAULTS = [
    ("LOAD mem=0x100000 valid_bytes=1 valid1=1", "MEMORY_READ", "LOAD", 0, 0x100000),
    ("NOP\nSTORE mem=0x200000", "MEMORY_WRITE", "STORE", 1, 0x200000),
    ("LOAD l1=0x10", "L1_ADDRESS", "LOAD", 0, 0x10),
    ("STORE mem=0x8000 l1=0xffffffe0 bytes=64", "L1_ADDRESS", "STORE", 0, 0xFFFFFFE0),
    ("MATMUL d=0x800000 m=32 k=32", "L1_ADDRESS", "TENSOR", 0, 0x800000),
    ("NOP signal0=s3*200\nNOP signal0=s3*56", "SEMAPHORE_OVERFLOW", "SEQUENCER", 1, 0),
    (".bytes ee" + "00" * 63, "ILLEGAL_OPCODE", "SEQUENCER", 0, 0),
    (".bytes 01" + "00" * 62 + "80", "ILLEGAL_FIELD", "SEQUENCER", 0, 0),
    ("NOP\nNOP", "ILLEGAL_OPCODE", "SEQUENCER", 2, 0),
    ("LOOP\n" * 5, "LOOP_NESTING", "SEQUENCER", 4, 0),
    ("END", "LOOP_NESTING", "SEQUENCER", 0, 0),
]
"""Program text without its HALT, unless that comes too late; then fault code, unit, instruction, address."""
