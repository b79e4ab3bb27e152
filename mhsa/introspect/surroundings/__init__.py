"""What surrounds the attention within a module: norms, a residual, a block; it is left out, and said to be."""
