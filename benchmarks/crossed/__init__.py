"""Right implementations of crossed formulas, and what a verdict on them takes: ``python -m benchmarks.crossed``."""
