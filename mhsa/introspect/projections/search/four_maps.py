"""Whether what was found is four maps, each once and with widths that agree, and nothing else; an error where it is not."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from mhsa.introspect.projections.role_names import ROLES
from mhsa.introspect.projections.search.candidates import Candidates, Weights
from mhsa.records.errors import ForeignParameter, SubjectError
from mhsa.subject.parameter_layout import with_own_width


def require_all_roles(candidates: Candidates, weights: Weights, others: Collection[str]) -> None:
    """Raise unless every role has one map, but for ``others``, which are absent or share one."""
    missing = [r for r in ROLES if sum(r in w.roles for w in weights.values()) != (r not in others)]
    if missing:
        listed = ", ".join(f"{path} {list(shape)}" for path, shape in candidates.shapes.items()) or "none"
        raise SubjectError(
            f"which parameters are the {', '.join(missing)} projection is not clear; the module has: {listed}. "
            "Say it in an mhsa.Adapter with a projections() method"
        )


def require_widths(candidates: Candidates, weights: Weights, tied: Mapping[str, str]) -> None:
    """Raise unless heads of queries are as wide as those of keys, and those of values as W_O takes them."""
    sizes = candidates.sizes
    widths = dict.fromkeys(ROLES, sizes.d_k)
    for path, reading in weights.items():
        if reading.shared:
            continue
        count = math.prod(candidates.shape(path))
        own = with_own_width(sizes, count, reading.roles, bias=False, per_head=reading.per_head)
        sharing = [role for role, of in tied.items() if of in reading.roles]
        widths |= dict.fromkeys((*reading.roles, *sharing), own.inner or own.d_k)
    if widths["query"] != widths["key"] or widths["value"] != widths["out"]:
        listed = ", ".join(f"{role} {width}" for role, width in widths.items())
        raise SubjectError(
            f"the features of one head differ between maps that must agree ({listed}), for {sizes.head} heads. "
            "Where heads share keys and values, describe the module in an mhsa.Adapter"
        )


def require_nothing_else(candidates: Candidates, maps: Collection[str], computed: Collection[str], found: str) -> None:
    """Raise if a parameter changes the result that is neither in one of the maps nor one that a map is computed from.

    ``found`` is what was found, in words.
    """
    used = {member for path in maps for member in candidates.groups[path]}
    for path, shape in candidates.shapes.items():
        if path not in used and path not in computed and candidates.tags.moves(path):
            raise ForeignParameter(
                f"parameter {path} {list(shape)} changes the result but is not part of plain multi-head attention "
                f"(found: {found}). Judge the attention alone, or describe the module in an mhsa.Adapter",
                path,
            )
