"""What attention must compute, in NumPy, with a bound on the rounding error of every element. Knows no torch."""
