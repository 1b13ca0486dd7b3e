"""Reusable verification parts for Gemel: seeds, stimulus, drivers and runners."""
