"""Runs the properties under pytest and Hypothesis."""
