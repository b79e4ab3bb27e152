"""What was observed, as JSON can hold it: NaN and infinities become text, arrays become lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def jsonable(value: Any) -> Any:
    """Return the value in JSON's own kinds; NaN and infinities, which JSON has not, are ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(name): jsonable(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(x) for x in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(x) for x in value)
    if callable(getattr(value, "tolist", None)):  # of NumPy and torch, arrays as well as single numbers
        return jsonable(value.tolist())
    return str(value)
