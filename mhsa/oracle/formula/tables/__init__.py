"""Which row of a learned table of biases each query and key have, one file per rule."""
