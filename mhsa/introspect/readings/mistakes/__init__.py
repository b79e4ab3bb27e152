"""Attention with plain mistakes in it: what gives exactly the numbers of one is read rightly, and wrong."""
