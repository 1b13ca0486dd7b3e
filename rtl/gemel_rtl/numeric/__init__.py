"""Arithmetic: operand decoders, block-exact dot units, FP32 operators and format conversion."""
