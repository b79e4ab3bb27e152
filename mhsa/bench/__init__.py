"""Benchmarks: how long, how much memory and how many operations attention takes, measured only where it is right."""
