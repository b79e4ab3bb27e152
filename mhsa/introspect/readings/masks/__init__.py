"""What the source says of a mask: how many axes a docstring gives it."""
