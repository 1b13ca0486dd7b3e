"""Gemel's hardware in Amaranth: arithmetic, tensor core, memories, buses and the chips made of them."""
