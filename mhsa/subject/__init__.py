"""One implementation: described, built, called, and compared with what it must compute."""
