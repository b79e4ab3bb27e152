"""Roles that share one map: a ``linear_kv`` [d_model, d_model] for keys and values, a key's map that gives the values, too.

Such a map is read as that of every role that it has. It is none that a property may set or differentiate for one role alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.subject.computed_views import ComputedView
from mhsa.subject.parameter_layout import AxisReading
from mhsa.subject.projection_views import Projections, Role, View

Choices = Callable[[str, tuple[str, ...], bool], list[AxisReading]]


def named_tied(path: str, paths: Collection[str], choices: Choices) -> tuple[AxisReading, dict[str, str]] | None:
    """Return the reading of a weight that is named after several roles and has the size of one map, and who shares it.

    One of several such weights among ``paths``, ``qkv.0`` say, is the map of one role.
    """
    roles = named_roles(path)
    alike = [other for other in paths if named_roles(other) == roles and not other.endswith("bias")]
    if len(roles) < 2 or not set(roles) <= set(QKV) or len(alike) > 1:
        return None
    first, *others = sorted(roles, key=QKV.index)
    possible = choices(path, (first,), False)
    return (possible[0], dict.fromkeys(others, first)) if possible else None


def value_of_key(weights: Mapping[str, AxisReading], moves_alone: Callable[[str], bool]) -> dict[str, str]:
    """Return that the values come from the key's map where it has a part in the output of a single key, whose weight is 1."""
    key = next((path for path, reading in weights.items() if reading.roles == ("key",)), None)
    return {"value": "key"} if key is not None and moves_alone(key) else {}


def share(projections: Projections, tied: Mapping[str, str]) -> Projections:
    """Return the maps with those of ``tied`` roles, by the role that they are read from."""
    roles: dict[str, Role] = {name: getattr(projections, name) for name in (*QKV, "out")}
    sources: list[tuple[str, View]] = list(projections.sources)
    for first in dict.fromkeys(tied.values()):
        own = roles[first]
        sharing = [first, *(role for role, of in tied.items() if of == first)]
        why = f"{' and '.join(sharing)} share one projection"
        for role in sharing:
            roles[role] = Role(_view(own.weight, why), None if own.bias is None else _view(own.bias, why))
        kinds = (("weight", own.weight), ("bias", own.bias))
        sources += [(f"shared.{first}.{kind}", view) for kind, view in kinds if view is not None and not view.fixed]
    query, key, value = (roles[name] for name in QKV)
    return replace(projections, query=query, key=key, value=value, out=roles["out"], sources=tuple(sources))


def _view(view: View, why: str) -> ComputedView:
    return ComputedView(dim=view.dim, make=view.read, fixed=why)
