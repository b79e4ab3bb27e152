"""Readings of what a formula declares: biases, causality, normalised and rotated queries and keys, a log-sum-exp."""
