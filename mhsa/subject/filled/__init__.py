"""A module that is built for one case and filled with its numbers, and what it must give for them."""
