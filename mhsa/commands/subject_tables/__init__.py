"""The tables of subjects in pyproject.toml: continued by --write-baseline and by mhsa probe --write."""
