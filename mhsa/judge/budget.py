"""How many cases a property gets: effort goes where it finds most.

The oracle's properties see every bug that puts a wrong number somewhere and get all cases of the profile. Most others state
one law each, which a wrong module breaks on most inputs, and get a share; what costs much gets a smaller one. In the
thorough profile, which looks for false alarms, every property gets all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mhsa.records.defaults import PROFILES

F = TypeVar("F", bound=Callable[..., Any])

_SHARE = "_mhsa_share"
_LEAST = {1: 1, 8: 4, 20: 2}  # cases by the share: four designed ones have both dtypes twice, and small and large sizes


def light(function: F) -> F:
    """Mark a property that needs an eighth of the cases: it states one law, and few inputs hide a breach of it."""
    setattr(function, _SHARE, 8)
    return function


def rare(function: F) -> F:
    """Mark a property that needs a twentieth of the cases: one case costs much, or hardly anything varies."""
    setattr(function, _SHARE, 20)
    return function


def slow(function: F) -> F:
    """Mark a property whose set-up alone takes seconds: quick leaves it out, unless -k names it.

    The mark is read from the source, which the command line can do without importing torch: see
    :func:`mhsa.records.catalogue.is_slow`.
    """
    return function


def cases_of(function: Callable[..., Any], profile: str) -> int:
    """Return the number of cases of a property in a profile."""
    most = PROFILES[profile]
    share = getattr(function, _SHARE, 1)
    return most if profile == "thorough" else max(most // share, _LEAST[share])
