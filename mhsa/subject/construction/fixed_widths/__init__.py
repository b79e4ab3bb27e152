"""Constructors whose layers take a width that stands in the code."""
