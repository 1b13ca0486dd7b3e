"""The driver: memory, programs, launches and faults of a chip, the same on every back end."""
