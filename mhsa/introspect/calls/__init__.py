"""How a subject is called, found by calling it: where its output is, which masks it takes, what float64 is inside."""
