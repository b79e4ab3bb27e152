"""What asv and pytest-benchmark are given."""
