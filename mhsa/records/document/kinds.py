"""Values of a JSON document as the kinds that its readers expect; what is missing or of another kind becomes the empty one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def text(value: Any) -> str:
    """Return a string; null is the empty one."""
    return "" if value is None else str(value)


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of strings."""
    return tuple(map(text, value)) if isinstance(value, list | tuple) else ()


def number(value: Any) -> float:
    """Return a float; null, and whatever is not a number, is NaN. The strings "nan", "inf" and "-inf" are what they say."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def whole(value: Any) -> int:
    """Return an integer; whatever is not a finite number is 0."""
    return int(number(value)) if math.isfinite(number(value)) else 0


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object."""
    return dict(value) if isinstance(value, Mapping) else {}


def mappings(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the JSON objects of a list."""
    return tuple(mapping(each) for each in value if isinstance(each, Mapping)) if isinstance(value, list | tuple) else ()
