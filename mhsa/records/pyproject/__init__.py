"""What ``[tool.mhsa]`` of a pyproject.toml may hold, and where in the file it stands."""
