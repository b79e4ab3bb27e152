"""Draws that depend on the subject, the seed and the versions alone.

Hypothesis takes one draw in twenty from the constants that stand in the imported files it calls local. So another subject
in the run, the user's own tests or an edit of an unrelated file would change the cases, and a verdict with them. Numbers in the
subject's source are drawn by mhsa itself (:mod:`mhsa.introspect.source_constants`); while a property runs, Hypothesis' pool of
them is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers

_SIZE = 1024  # as Hypothesis' own, which would keep what was found with constants for what is drawn without, and back
_cache: Any = LRUCache(_SIZE)
_NOTHING = providers.Constants() if hasattr(providers, "Constants") else None


@contextmanager
def without_local_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing constants of local files; a version that draws none is left as it is."""
    names = ("_get_local_constants", "CONSTANTS_CACHE")
    if _NOTHING is None or not all(hasattr(providers, name) for name in names):
        yield
        return
    before = {name: getattr(providers, name) for name in names}
    for name, value in zip(names, (lambda: _NOTHING, _cache), strict=True):
        setattr(providers, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(providers, name, value)
