"""The defaults: dtypes, profiles, and how many cases each has."""

from __future__ import annotations

PROFILES = {"quick": 24, "ci": 300, "thorough": 2000}  # cases per property, for those that find most
DEFAULT_DTYPES = ("float64", "float32")
DTYPES = ("float64", "float32", "bfloat16", "float16")
