"""Hypothesis strategies for cases. Every draw is a small integer or a name, so shrinking is fast and ends small."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import pytest
from hypothesis import strategies as st

from mhsa.judge.drawing.choices import Draw, composed, one_of
from mhsa.judge.drawing.draws import without_local_constants
from mhsa.records.case import BIASES, DATA, MASKS, Case, Tie
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.subject import Subject

_subject: ContextVar[Subject] = ContextVar("mhsa_subject")

Large = Literal["", "length", "head", "width", "batch"]

# Tables of sizes, in ascending order so that shrinking ends in the smallest. Each size is one draw, so each shrinks by
# itself. Repetition is weight: the usual values differ from table to table, so in most cases all sizes are different
# and no wrong reshape fits, while coincidences still come up. The tails are sizes at which tiled and specialised code
# changes its way: both sides of powers of two, more than one tile, more heads than features.
_BATCH = (1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 5, 33)
_HEAD = (1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 8, 16, 17, 32)
_D_K = (1, 2, 3, 4, 5, 5, 5, 5, 5, 8, 16, 17, 32, 64, 65, 128, 129)
_QUERIES = (1, 2, 3, 4, 5, 6, 6, 6, 6, 15, 17, 33, 65, 129)
# 600: pytorch#127055 needs about that many keys.
_KEYS = (1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 8, 9, 9, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 600)
_LONGEST_SQUARE = 257  # of self-attention, whose cost is the square

# For properties that look for thresholds alone: the large size, with small other sizes.
_LONG = (15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 513, 600)
_HEADS = (6, 6, 7, 9, 12, 12, 16, 17, 24, 33)
_BATCHES = (6, 8, 15, 16, 17, 31, 33, 64, 65, 129)
_WIDTHS = ((1, 513), (2, 257), (3, 171), (4, 129), (5, 104), (8, 65), (16, 33), (33, 16))  # head, d_k: beyond 512
# Most that a literal of the subject's source is followed to, by what costs: [B, H, Tq, Tk] and d_model^2.
_FOLLOWED = {"batch": 130, "head": 33, "d_k": 260, "queries": 520, "keys": 2049}


@contextmanager
def judging(subject: Subject) -> Iterator[None]:
    """Draw cases for this subject: its dtypes, sizes, kinds of masks and ties."""
    token = _subject.set(subject)
    try:
        with without_local_constants():
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
    min_batch: int = 1,
    min_head: int = 1,
    data: Sequence[str] = DATA,
    dtypes: Sequence[str] = ("float64", "float32", "bfloat16", "float16"),
    one_head: bool = False,
    small: bool = False,
    large: Large = "",
    biased: bool = False,
    min_bias: bool = False,
) -> st.SearchStrategy[Case]:
    """Cases for the subject being judged.

    Args:
        masks: kinds to draw from, of :data:`mhsa.records.case.MASKS`.
        ties: which of query, key and value may be one tensor, as far as the subject can be called so.
        need_weights: True if every call requests weights; None to draw it, where the subject has a switch for them.
        min_keys, min_queries, min_batch, min_head: least sizes.
        data: regimes to draw from, of :data:`mhsa.records.case.DATA`.
        dtypes: to draw from, as far as the subject is judged in them.
        one_head: only head = 1.
        small: no large sizes, for properties that call the subject many times.
        biased: whether a bias is given in some cases, under the contract bias = "given".
        min_bias: whether one is given in every case.
        large: what is large in every case (the rest is small): length, head, width (d_model beyond 512), batch.

    The property is not applicable (with the reason) if the subject can be called in none of these ways.
    """
    unknown = set(masks) - set(MASKS)
    if unknown:
        raise ValueError(f"unknown kinds of masks {sorted(unknown)}; known are {MASKS}")
    least = {"batch": min_batch, "head": min_head, "queries": min_queries, "keys": min_keys}
    return composed(
        lambda draw: _case(
            draw, tuple(masks), tuple(ties), need_weights, least, tuple(data), tuple(dtypes), one_head=one_head, small=small,
            large=large, biases=biased or min_bias, min_bias=min_bias,
        )
    )  # fmt: skip


def _case(
    draw: Draw,
    masks: tuple[str, ...],
    ties: tuple[Tie, ...],
    need_weights: Literal[True] | None,
    least: dict[str, int],
    data: tuple[str, ...],
    dtypes: tuple[str, ...],
    *,
    one_head: bool,
    small: bool,
    large: Large,
    biases: bool,
    min_bias: bool,
) -> Case:
    subject = _subject.get()
    possible_ties = tuple(t for t in ties if t in subject.ties)
    possible_masks = tuple(m for m in masks if m in subject.masks)
    possible_dtypes = tuple(d for d in dtypes if d in subject.dtypes)
    if not possible_ties:
        pytest.skip("needs " + ("self-attention" if ties == ("all",) else "keys and values of their own") + ", "
                    "and the subject's forward has no place for them")  # fmt: skip
    if not possible_masks:
        pytest.skip("needs masks" + (" of a kind" if subject.adapter.takes_mask else "") + " that the subject cannot be given")
    if not possible_dtypes:
        pytest.skip(f"is judged in {', '.join(dtypes)} only; add --dtype")
    biases = biases and (min_bias or subject.contract.bias is not None)  # an added mask is one in properties of biases alone
    kinds = tuple(b for b in BIASES if b in subject.biases or (b == "none" and not min_bias)) if biases else ("none",)
    if not kinds:
        pytest.skip('needs a contract with bias = "given"')
    fixed = subject.adapter.sizes
    least = least | {"head": max(least["head"], subject.fewest_heads)}
    if one_head and subject.fewest_heads > 1:
        pytest.skip(f"needs a module with head=1, and the subject is judged with {subject.fewest_heads} heads and more")
    if one_head and fixed is not None and fixed[0] != 1:
        pytest.skip(f"needs a module with head=1, and the subject is built with head={fixed[0]}")
    if fixed is not None and (large in ("head", "width") or fixed[0] < least["head"]):
        pytest.skip(f"needs other sizes than head={fixed[0]}, d_model={fixed[1]}, with which the subject is built")

    # Choices before sizes: a mask or a tie that no longer fits the sizes would have to be drawn again.
    dtype = draw(one_of(possible_dtypes))
    tie = draw(one_of(possible_ties))
    mask = draw(one_of(possible_masks))
    batch, head, d_k, keys, queries = _draw_sizes(draw, subject.literals, least, one_head=one_head, small=small, large=large)
    if tie == "all" or is_square(subject.adapter):
        queries = keys = min(max(keys, least["queries"]), _LONGEST_SQUARE)
        if keys > 64:
            batch, head = max(min(batch, 2), least["batch"]), max(min(head, 2), least["head"])
    if subject.contract.formula.causal == "bottom-right" and mask != "fully_masked_row":
        keys = max(keys, queries)  # the first queries would see no key
    if subject.told_by_sizes and mask != "none" and batch == queries:
        batch += 1
    head, d_k = subject.heads(head), subject.features(d_k)
    if fixed is not None:
        head, d_k = fixed[0], fixed[1] // fixed[0]
    return Case(
        dtype=dtype,
        batch=batch,
        head=head,
        query_length=queries,
        key_length=keys,
        d_k=d_k,
        data=draw(one_of(data)),
        mask=mask,
        layout=draw(one_of(subject.layouts)),
        tie=tie,
        grad=draw(_YES_OR_NO),
        need_weights=draw(_YES_OR_NO) if need_weights is None and subject.adapter.weights_on_request else True,
        seed=draw(_SEEDS),
        bias=draw(one_of(kinds)) if len(kinds) > 1 else kinds[0],
    )


def _draw_sizes(
    draw: Draw, literals: tuple[int, ...], least: dict[str, int], *, one_head: bool, small: bool, large: Large
) -> tuple[int, ...]:
    """Return batch, head, d_k, keys, queries."""
    near = () if small else literals
    if large == "width":
        head, d_k = draw(one_of(tuple(width for width in _WIDTHS if width[0] >= least["head"])))
        return draw(_at_least((1, 2), least["batch"])), head, d_k, draw(one_of((1, 2, 3, 4))), draw(one_of((1, 2, 3)))
    batch = draw(_at_least(_with(_BATCHES if large == "batch" else _BATCH, near, "batch"), least["batch"]))
    head = 1 if one_head else draw(_at_least(_with(_HEADS if large == "head" else _HEAD, near, "head"), least["head"]))
    d_k = draw(one_of(_with(_D_K, near, "d_k")))
    # Both lengths are drawn even where only one is used, so that shrinking can untie without a new draw.
    keys = draw(_at_least(_with(_LONG if large == "length" else _KEYS, near, "keys"), least["keys"]))
    queries = draw(_at_least(_with(_QUERIES, near, "queries"), least["queries"]))
    if large == "length":
        return min(batch, 2), min(head, 2), _features(d_k), keys, min(queries, 129)
    if large == "head":
        return min(batch, 2), head, min(d_k, 5), min(keys, 5), min(queries, 3)
    if large == "batch":
        return batch, min(head, 2), min(d_k, 3), min(keys, 5), min(queries, 3)
    return _affordable(batch, head, d_k, keys, queries, small=small)


@functools.cache
def _with(table: tuple[int, ...], literals: tuple[int, ...], size: str) -> tuple[int, ...]:
    """Return the table with the literals of the subject's source and their neighbours, as far as they are affordable.

    A literal and what lies beyond it count as much as usual sizes: only there does a case reach a table of special cases.
    """
    near = [n - 1 for n in literals if n - 1 not in table] + [m for n in literals for m in (n, n, n + 1, n + 1)]
    return tuple(sorted([*table, *(n for n in near if n <= _FOLLOWED[size])]))


@functools.cache
def _at_least(values: tuple[int, ...], least: int) -> st.SearchStrategy[int]:
    return one_of(tuple(v for v in values if v >= least))


# Features of a head beyond which there are two heads at most: what costs is d_model^2, and wide models have their own property.
_WIDE = 32
_YES_OR_NO = one_of((False, True))
_SEEDS = one_of(range(2**16))


def _affordable(batch: int, head: int, d_k: int, keys: int, queries: int, *, small: bool) -> tuple[int, ...]:
    """Keep at most one of the sizes large (none if ``small``): that finds what hides behind a threshold, cheaply."""
    sizes: list[int] = []
    spent = small
    # 8 and 16 features go with any other size: kernels for GPUs take only multiples of 8.
    for size, usual, cheap in ((batch, 3, 3), (head, 4, 4), (d_k, 5, 16), (keys, 9, 9), (queries, 6, 6)):
        sizes.append(min(size, usual) if spent else size)
        spent = spent or size > cheap
    if sizes[2] > _WIDE:
        sizes[1] = min(sizes[1], 2)
    return tuple(sizes)


def _features(d_k: int) -> int:
    """Return few features of a head, or a multiple of 8: kernels for GPUs take no others, and it is they that have tiles."""
    return min(d_k, 4) if d_k < 8 else min(d_k // 8 * 8, 64)
