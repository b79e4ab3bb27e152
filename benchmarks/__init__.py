"""Benchmarks for asv; it wants this to be a package."""
