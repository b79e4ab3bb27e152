"""Bugs in masks, one file for each idea."""
