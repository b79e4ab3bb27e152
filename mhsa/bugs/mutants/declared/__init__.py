"""Bugs in declared features that act on the scores or after them, one file for each feature."""
