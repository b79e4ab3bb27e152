"""Cases on disk: a counterexample as a file that can be replayed."""
