"""What the source says of a mask: comments, and how many axes a docstring gives it."""
