"""The factor of the scores."""

from __future__ import annotations

import math

from mhsa.oracle.formula.fields import Scale


def factor(scale: Scale, d_k: int) -> float:
    """Return what <q, k> is multiplied with: 1 / sqrt(d_k) where nothing is declared."""
    if scale is None:
        return 1.0 / math.sqrt(d_k)
    return 1.0 / d_k if scale == "1/d_k" else float(scale)


def words(scale: Scale) -> str:
    """Return what a reader is told."""
    return f"scores times {scale if isinstance(scale, str) else f'{scale:g}'}"
