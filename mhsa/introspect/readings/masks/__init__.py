"""Readings of masks: what they mean, for whom they are, and what is said of them in names, docstrings and comments."""
