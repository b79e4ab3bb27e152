"""The files that ``mhsa init`` writes."""
