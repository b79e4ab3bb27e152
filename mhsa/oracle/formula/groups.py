"""Grouped-query attention: fewer heads of keys and values, each shared by a group of query heads next to each other."""

from __future__ import annotations

import numpy as np

from mhsa.oracle.bounded import Arithmetic, Bounded


def repeat(x: Bounded, head: int) -> Bounded:
    """Return [B, H, T, d] of [B, kv_heads, T, d]: query head h reads key head h // (H / kv_heads)."""
    times = head // x.value.shape[1]
    if times == 1:
        return x
    return Bounded(np.repeat(x.value, times, axis=1), np.repeat(x.error, times, axis=1))


def gather(arithmetic: Arithmetic, d: Bounded, kv_heads: int) -> Bounded:
    """Return the gradient [B, kv_heads, T, d]: the sum of those [B, H, T, d] of the query heads that read each key head."""
    batch, head, length, width = d.value.shape
    times = head // kv_heads
    if times == 1:
        return d
    parts = d.reshape(batch, kv_heads, times, length, width)
    total = arithmetic.total(parts, 2, times)
    # A loop over the heads of a group stores the sum each time.
    return arithmetic.store(total.value, total.error, roundings=times).reshape(batch, kv_heads, length, width)


WORDS = "grouped keys and values (query head h reads key head h // group)"
