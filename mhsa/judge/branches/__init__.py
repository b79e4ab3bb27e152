"""Branches of a module that no usual call takes: what it asks torch, and flags that choose an implementation."""
