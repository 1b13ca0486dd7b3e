"""DRAM controller: one per channel, AXI4 towards the chip, a DFI-like port towards the DRAM."""
