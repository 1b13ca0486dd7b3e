"""The L1 scratchpad."""
