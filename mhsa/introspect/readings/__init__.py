"""Readings of a call: which layout, which argument is which, what a mask means; each is tried by an exact fit."""
