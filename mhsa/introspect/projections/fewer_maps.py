"""Attention with fewer maps than four: values are taken as they are, or one map serves queries and keys.

No name says that a map is missing, so such a reading counts only with an exact fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mhsa.introspect.projections.gradient_tags import Tags
from mhsa.subject.parameter_layout import AxisReading

Choices = Callable[[str, tuple[str, ...], bool], list[AxisReading]]


@dataclass(frozen=True)
class FewerMaps:
    """Which maps are there, shared or absent, and what was taken for granted with that, in words."""

    absent: tuple[str, ...]
    unsure: str
    weights: Mapping[str, AxisReading] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)


def fewer_maps(missing: Sequence[str], left: Sequence[str], choices: Choices, tags: Tags, *, named: bool) -> FewerMaps | None:
    """Return the reading with fewer maps; None where names and gradients say nothing of the maps that are there.

    Args:
        missing: roles without a map.
        left: weights without a role.
        choices: the readings of a weight in given roles.
        tags: gradients of the weights.
        named: whether names say the role of some other weight; gradients may say the others.
    """
    if not left:
        return FewerMaps(tuple(missing), _none(missing)) if missing and named else None
    if len(left) > 1 or len(missing) < 4 or tags.moves_alone(left[0]):
        return None  # it is the only map, and of the scores alone
    (path,) = left
    possible = choices(path, ("query",), False)
    words = f"{path} is the map of query and key, and {_none(('value', 'out'))}"
    return FewerMaps(("value", "out"), words, {path: possible[0]}, {"key": "query"}) if possible else None


def _none(roles: Sequence[str]) -> str:
    return f"there is no map of {' and '.join(roles)}"
