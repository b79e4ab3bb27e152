"""Sizes of memory as people write them: ``8 GiB``."""

from __future__ import annotations

import re

_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_MOST_BYTES = 2**62  # what the limits of a process are counted in ends there


def size(text: str) -> int | None:
    """Return the bytes that a size such as ``8 GiB`` stands for; None if it is not a size."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    factor = _UNITS.get(match[2].upper()) if match else None
    size_in_bytes = float(match[1]) * factor if match and factor else 0.0
    return int(size_in_bytes) if 1 <= size_in_bytes < _MOST_BYTES else None
