"""AXI4 arbiters and register slices."""
