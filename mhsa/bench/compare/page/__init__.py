"""The page of ``mhsa compare --html``."""
