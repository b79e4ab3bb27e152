"""The history of figures over commits: measured in one environment, kept and drawn by asv."""
