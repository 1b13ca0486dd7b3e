"""The command processor and its AXI4-Lite registers."""
