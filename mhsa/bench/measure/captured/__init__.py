"""Functions that measuring rests on, taken before any subject is loaded."""
