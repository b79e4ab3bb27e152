"""A learned table of biases by distance in buckets (Raffel et al. 2020, arXiv 1910.10683, section 2.1), and its gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import Arithmetic, Array, Bounded
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import Causal
from mhsa.oracle.formula.tables import clipped, windows

_USUAL = 32  # buckets of the rule "t5"
_DIRECTIONS = {"both": ", both directions", "past": ", earlier keys alone", None: ""}


def buckets(table: BiasTable, causal: Causal, shape: tuple[int, int], count: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the bucket [Tq, Tk] of each pair twice: by the exact rule, and as float32 evaluates it.

    Distances below half of the buckets of a direction have one each, further ones share them by their logarithm, up to the
    largest distance, from which on all have the last one. Of both directions later keys have the second half.
    """
    if table.rule == "swin":
        if shape[0] != shape[1]:
            raise ValueError(f"a window has as many queries as keys, and these are {shape[0]} and {shape[1]}")
        return windows.places(shape[0]), windows.places(shape[0])
    distance = np.arange(shape[1]) - own_places(causal, *shape)[:, None]
    if table.rule == "clipped":
        exact_rows = clipped.rows(
            distance, count, both=directions(table, causal) == "both", mirrored=is_mirrored(table, causal)
        )
        return exact_rows, exact_rows
    first = np.zeros(shape, dtype=int)
    own = count
    if directions(table, causal) == "both":
        own = count // 2
        first = np.where(distance > 0, own, 0)
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = single_distances(table, causal, count)
    beyond = np.maximum(distance, exact)
    share = np.log(beyond / exact) / np.log(table.max_distance / exact) * (own - exact)
    single = (
        np.log(np.float32(1.0) * beyond.astype(np.float32) / np.float32(exact))
        / np.float32(np.log(table.max_distance / exact))
        * np.float32(own - exact)
    )
    # A border is where the exact share is a whole number: 1e-9 is far beyond the rounding of float64 here.
    found = (exact + np.floor(share + 1e-9).astype(int), exact + np.floor(single).astype(int))
    both = (np.where(distance < exact, distance, np.minimum(far, own - 1)) for far in found)
    rule, rounded = (first + own_bucket for own_bucket in both)
    return rule, rounded


def usual_count(table: BiasTable) -> int:
    """Return how many buckets a table has usually."""
    return {"swin": windows.COUNT, "clipped": clipped.COUNT}.get(table.rule, _USUAL)


def single_distances(table: BiasTable, causal: Causal, count: int) -> int:
    """Return how many distances of a direction have a bucket each; the largest distance must be above them."""
    own = count // 2 if directions(table, causal) == "both" else count
    return max(own // 2, 1)


def directions(table: BiasTable, causal: Causal) -> str:
    """Return "both" or "past": as declared, or as causality has it."""
    return table.direction or ("both" if causal == "no" else "past")


def is_mirrored(table: BiasTable, causal: Causal) -> bool:
    """Whether the rows of a clipped table are in the order of the query's place less the key's, as declared or as usual."""
    usual = "key - query" if directions(table, causal) == "both" else "query - key"
    return (table.order or usual) == "query - key"


def stage(table: BiasTable, causal: Causal, shape: tuple[int, ...], learned: Array | None) -> Bounded:
    """Return what is added to scores [B, H, Tq, Tk]: [H, Tq, Tk], of a table [buckets, H].

    Raises:
        ValueError: there is no table.
    """
    if learned is None:
        raise ValueError("the formula has a table of biases; it must be given")
    rule, rounded = buckets(table, causal, (shape[-2], shape[-1]), len(learned))
    value, other = (learned[which].transpose(2, 0, 1) for which in (rule, rounded))
    return Bounded(value, np.abs(value - other))


def gradient(
    arithmetic: Arithmetic, table: BiasTable, causal: Causal, d: Bounded, count: int, roundings: int
) -> Bounded:  # fmt: skip
    """Return the gradient [buckets, H]: that of the biased scores [B, H, Tq, Tk], summed over the pairs of each bucket."""
    batch, head, queries, keys = d.value.shape
    rule, rounded = buckets(table, causal, (queries, keys), count)
    value, error = np.zeros((count, head)), np.zeros((count, head))
    for bucket in np.unique([rule, rounded]):
        here, open_ = rule == bucket, (rule == bucket) != (rounded == bucket)
        part = Bounded(d.value[:, :, here].reshape(batch, head, -1), d.error[:, :, here].reshape(batch, head, -1))
        total = arithmetic.total(part, (0, 2), part.value.shape[0] * part.value.shape[2])
        stored = arithmetic.store(total.value, total.error, roundings)
        value[bucket] = stored.value.reshape(head)
        error[bucket] = stored.error.reshape(head) + d.magnitude[:, :, open_].sum(axis=(0, 2))
    return Bounded(value, error)


def words(table: BiasTable) -> str:
    """Return what a reader is told."""
    which = _DIRECTIONS[table.direction]
    if table.rule == "swin":
        return "a learned bias of the offset in a window of h x w tokens is added to the scores"
    if table.rule == "clipped":
        order = "" if table.order is None else f", in the order of {table.order}"
        return f"a learned bias of the clipped distance is added to the scores (a row for each{which}{order})"
    return f"a learned bias of the distance is added to the scores (buckets{which}, up to {table.max_distance})"
