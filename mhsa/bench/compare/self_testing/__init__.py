"""A comparison of a commit with itself, again and again, with and without a known slow-down: how often the verdict is right."""
