"""Failures: the form of one, and those that are expected."""
