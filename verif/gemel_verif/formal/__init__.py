"""Properties that a solver proves, and what calls it."""
