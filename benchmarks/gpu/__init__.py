"""Everything that docs/gpu.md states of a GPU, measured by one command: ``make gpu``."""
