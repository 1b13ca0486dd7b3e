"""Pictures of runs: timelines, traces, digits."""
