"""Main memory: DRAM timing, the address map and the error-correcting code."""
