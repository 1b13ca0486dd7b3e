"""Measurements: figures of the chips, counted in cycles, and of the simulator, in seconds."""
