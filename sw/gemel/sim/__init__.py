"""Simulated chips: the Verilated hardware and the golden model behind one interface."""
