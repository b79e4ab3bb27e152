"""What a property was called with, as JSON and back: cases, and the few other kinds of values that are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mhsa.records.case import Case


def encode(drawn: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values in a form that JSON holds; None if one is of a kind that it does not."""
    found = {name: _encoded(value) for name, value in drawn.items()}
    return None if any(value is NotImplemented for value in found.values()) else found


def _encoded(value: Any) -> Any:
    if isinstance(value, Case):
        return {"case": value.as_dict()}
    if isinstance(value, (tuple, list)):
        parts = [_encoded(x) for x in value]
        return NotImplemented if any(x is NotImplemented for x in parts) else {type(value).__name__: parts}
    if isinstance(value, float) and not math.isfinite(value):
        return NotImplemented
    return value if value is None or type(value) in (bool, int, float, str) else NotImplemented


def decode(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`encode` was given.

    Raises:
        ValueError: it is something else.
    """
    return {name: _decoded(value) for name, value in data.items()}


def _decoded(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "case" and isinstance(content, dict):
            return _case(content)
        if kind in ("tuple", "list") and isinstance(content, list):
            parts = [_decoded(x) for x in content]
            return tuple(parts) if kind == "tuple" else parts
    raise ValueError(f"{value!r} is not a value of a case")


def _case(content: dict[str, Any]) -> Case:
    known = Case.__dataclass_fields__
    if unknown := set(content) - set(known):
        raise ValueError(f"a case has no {', '.join(map(repr, sorted(unknown)))}")
    if missing := [name for name in known if name not in content and name != "bias"]:
        raise ValueError(f"a case without {', '.join(missing)}")
    case = Case(**content)
    for name, field in known.items():
        kind = {"str": str, "int": int, "bool": bool}.get(str(field.type), str)
        if type(getattr(case, name)) is not kind:
            raise ValueError(f"a case with {name}={getattr(case, name)!r}; must be of type {kind.__name__}")
    case.require_known()
    return case
