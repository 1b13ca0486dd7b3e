"""The LOAD and STORE units: direct memory access between memory and L1."""
