"""Test vectors of other projects against the oracle, within the oracle's own bound: ``python -m benchmarks.vectors``."""
