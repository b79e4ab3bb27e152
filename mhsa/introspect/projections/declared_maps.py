"""Whether a subject has an out projection and projections of its inputs: as declared, compared with what its parameters say."""

from __future__ import annotations

from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.projection_views import Projections

_NO_MAP = "the subject has no such projection"  # as computed_views.identity says it
_SHARED = "the heads share one projection of a head's own features"  # as shared_by_heads says it
_WORDS = {
    "out": {"projection": "the merged heads go through a map", "none": "none: the merged heads are the output"},
    "projections": {
        "projection": "query, key and value go through maps",
        "none": "none: the heads are slices of the inputs",
        "shared by heads": "one map of a head's own features serves all heads",
    },
}


def kinds_of_maps(views: Projections) -> dict[str, str]:
    """Return what a module has, in the words of the contract's fields ``out`` and ``projections``."""
    known = {_NO_MAP: "none", _SHARED: "shared by heads"}
    fixed = views.fixed
    return {
        "out": "none" if fixed.get("out.weight") == _NO_MAP else "projection",
        "projections": known.get(fixed.get("query.weight", ""), "projection"),
    }


def require_maps(name: str, contract: Contract, views: Projections) -> tuple[Understood, ...]:
    """Return a line for each of the two fields that is declared.

    Raises:
        Question: the module's parameters say something else.
    """
    found, parts = kinds_of_maps(views), []
    for field, words in _WORDS.items():
        declared = getattr(contract, field)
        if declared is None:
            continue
        if declared != found[field]:
            raise Question(
                f'{name}: {field} = "{declared}" is declared, but its parameters say "{found[field]}" '
                f"({words[found[field]]}). Declare that, or describe the maps in an mhsa.Adapter with a projections() method",
                {field: found[field]},
            )
        parts.append(Understood(field, words[declared], "declared", {field: declared}))
    return tuple(parts)
