"""Is the line named that made it slower? ``python -m benchmarks.attribution`` tries known slow-downs at known lines."""
