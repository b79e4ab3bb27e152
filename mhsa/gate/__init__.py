"""Two commits of a repository side by side: where they lie, how both are loaded, and which is faster."""
