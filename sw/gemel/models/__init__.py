"""Networks that run on the chips: trained in NumPy, quantised, one matrix product per layer."""
