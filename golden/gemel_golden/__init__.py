"""Gemel's executable specification: formats, numerics, tables and models, in NumPy over integers."""
