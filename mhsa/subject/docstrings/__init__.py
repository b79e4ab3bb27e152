"""What docstrings of a subject say, and the words by which it is known."""
