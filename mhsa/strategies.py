"""Hypothesis strategies for cases. Every draw is a small integer or a name, so shrinking is fast and ends small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import pytest
from hypothesis import strategies as st

from mhsa.cases import DATA, LAYOUTS, MASKS, Case, Tie
from mhsa.subject import Subject

_subject: ContextVar[Subject] = ContextVar("mhsa_subject")

# Tables of sizes, in ascending order so that shrinking ends in the smallest. Each size is one draw, so each shrinks by
# itself. Repetition is weight: the usual values differ from table to table, so in most cases all sizes are different
# and no wrong reshape fits, while coincidences still come up. The tails are sizes at which tiled and specialised code
# changes its way: both sides of powers of two, more than one tile, more heads than features.
_BATCH = (1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 5, 33)
_HEAD = (1, 1, 2, 3, 3, 4, 4, 4, 5, 8, 16, 17, 32)
_D_K = (1, 2, 3, 4, 5, 5, 5, 5, 5, 8, 16, 17, 32, 64, 65, 128, 129)
_QUERIES = (1, 2, 3, 4, 5, 6, 6, 6, 6, 15, 17, 33, 65, 129)
# 600: pytorch#127055 needs about that many keys.
_KEYS = (1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 8, 9, 9, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 600)
_LONGEST_SQUARE = 257  # of self-attention, whose cost is the square


@contextmanager
def judging(subject: Subject) -> Iterator[None]:
    """Draw cases for this subject: its dtypes, sizes, kinds of masks and ties."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def cases(
    *,
    masks: Sequence[str] = ("none",),
    ties: Sequence[Tie] = ("none", "kv", "all"),
    need_weights: Literal[True] | None = None,
    min_keys: int = 1,
    min_queries: int = 1,
    data: Sequence[str] = DATA,
    one_head: bool = False,
    small: bool = False,
) -> st.SearchStrategy[Case]:
    """Cases for the subject being judged.

    Args:
        masks: kinds to draw from, of :data:`mhsa.cases.MASKS`.
        ties: which of query, key and value may be one tensor, as far as the subject can be called so.
        need_weights: True to ask for weights always; None to draw it, where the subject can be asked.
        min_keys: least number of keys.
        min_queries: least number of queries.
        data: regimes to draw from, of :data:`mhsa.cases.DATA`.
        one_head: only head = 1.
        small: no large sizes, for properties that call the subject many times.

    The property is not applicable (with the reason) if the subject can be called in none of these ways.
    """
    unknown = set(masks) - set(MASKS)
    if unknown:
        raise ValueError(f"unknown kinds of masks {sorted(unknown)}; known are {MASKS}")
    return _cases(tuple(masks), tuple(ties), need_weights, min_keys, min_queries, tuple(data), one_head, small)


@st.composite
def _cases(
    draw: st.DrawFn,
    masks: tuple[str, ...],
    ties: tuple[Tie, ...],
    need_weights: Literal[True] | None,
    min_keys: int,
    min_queries: int,
    data: tuple[str, ...],
    one_head: bool,
    small: bool,
) -> Case:
    subject = _subject.get()
    possible_ties = [t for t in ties if t in subject.ties]
    possible_masks = [m for m in masks if m in subject.masks]
    if not possible_ties:
        pytest.skip("needs " + ("self-attention" if ties == ("all",) else "keys and values of their own") + ", "
                    "and the subject's forward has no place for them")  # fmt: skip
    if not possible_masks:
        pytest.skip("needs masks" + (" of a kind" if subject.adapter.takes_mask else "") + " that the subject cannot be given")
    fixed = subject.adapter.sizes
    if one_head and fixed is not None and fixed[0] != 1:
        pytest.skip(f"needs a module with head=1, and the subject is built with head={fixed[0]}")

    # Choices before sizes: a mask or a tie that no longer fits the sizes would have to be drawn again.
    dtype = draw(st.sampled_from(subject.dtypes))
    tie = draw(st.sampled_from(possible_ties))
    mask = draw(st.sampled_from(possible_masks))
    batch = draw(st.sampled_from(_BATCH))
    head = 1 if one_head else draw(st.sampled_from(_HEAD))
    d_k = draw(st.sampled_from(_D_K))
    # Both lengths are drawn even where only one is used, so that shrinking can untie without a new draw.
    keys = draw(st.sampled_from([n for n in _KEYS if n >= min_keys]))
    queries = draw(st.sampled_from([n for n in _QUERIES if n >= min_queries]))
    batch, head, d_k, keys, queries = _affordable(batch, head, d_k, keys, queries, small=small)
    if tie == "all":
        queries = keys = min(max(keys, min_queries), _LONGEST_SQUARE)
        if keys > 64:
            batch, head = min(batch, 2), min(head, 2)
    if fixed is not None:
        head, d_k = fixed[0], fixed[1] // fixed[0]
    return Case(
        dtype=dtype,
        batch=batch,
        head=head,
        query_length=queries,
        key_length=keys,
        d_k=d_k,
        data=draw(st.sampled_from(data)),
        mask=mask,
        layout=draw(st.sampled_from(LAYOUTS)),
        tie=tie,
        grad=draw(st.booleans()),
        need_weights=draw(st.booleans()) if need_weights is None and subject.adapter.weights_on_request else True,
        seed=draw(st.integers(0, 2**16 - 1)),
    )


def _affordable(batch: int, head: int, d_k: int, keys: int, queries: int, *, small: bool) -> tuple[int, ...]:
    """Keep at most one of the sizes large (none if ``small``): that finds what hides behind a threshold, cheaply."""
    sizes: list[int] = []
    spent = small
    for size, usual in ((batch, 3), (head, 4), (d_k, 5), (keys, 9), (queries, 6)):
        sizes.append(min(size, usual) if spent else size)
        spent = spent or size > usual
    return tuple(sizes)
