"""A sliding window: a query sees the keys near its own place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import Causal, Window


def visible(window: Window, causal: Causal, queries: int, keys: int) -> NDArray[np.bool_]:
    """Return [Tq, Tk], True where the key is at most ``left`` before the query's own place and at most ``right`` after it.

    The own place is aligned as ``causal`` says: at the end for "bottom-right", else at the beginning.
    """
    left, right = window
    distance = np.arange(keys) - own_places(causal, queries, keys)[:, None]
    seen: NDArray[np.bool_] = np.ones((queries, keys), dtype=bool)
    if left >= 0:
        seen &= distance >= -left
    if right >= 0:
        seen &= distance <= right
    return seen


def words(window: Window) -> str:
    """Return what a reader is told."""
    left, right = ("all" if side < 0 else str(side) for side in window)
    return f"window ({left} keys before the own place, {right} after it)"
