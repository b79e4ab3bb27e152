"""The page of ``mhsa verify --html``."""
