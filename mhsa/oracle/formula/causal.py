"""Causal attention: a query sees no key that comes after its own place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.formula.fields import Causal


def own_places(causal: Causal, queries: int, keys: int) -> NDArray[np.int_]:
    """Return the place among the keys [Tq] that each query has.

    Query i is at key i ("top-left", and where attention is not causal), or the last query is at the last key ("bottom-right",
    as with a cache of earlier keys): the two differ where Tq != Tk only. A place may lie before the first key or beyond.
    """
    return np.arange(queries) + (keys - queries if causal == "bottom-right" else 0)


def visible(causal: Causal, queries: int, keys: int) -> NDArray[np.bool_]:
    """Return [Tq, Tk], True where the key is not after the query's own place; True everywhere where attention is not causal."""
    if causal == "no":
        return np.ones((queries, keys), dtype=bool)
    own = own_places(causal, queries, keys)
    seen: NDArray[np.bool_] = np.arange(keys) <= own[:, None]
    return seen


def words(causal: Causal) -> str:
    """Return what a reader is told."""
    last = "the last query sees all keys, each earlier one a key less"
    return f"causal ({last if causal == 'bottom-right' else 'query i sees keys 0 to i'})"
