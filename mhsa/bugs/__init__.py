"""Known bugs, and what they are good for: the power of the suite, and diagnoses."""
