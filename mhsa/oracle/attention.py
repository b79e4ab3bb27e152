"""The oracle: attention evaluated in NumPy, with a rounding-error bound for every element. Knows nothing of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mhsa.oracle.bounded import Arithmetic, Array, Bounded
from mhsa.oracle.formula import alibi, between, bias_table, fill, given_bias, groups, lse, sinks, softcap
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.oracle.precision import Precision

A = TypeVar("A", bound="Attention")
FullyMaskedRow = Literal["zeros", "uniform"]


@dataclass(frozen=True)
class Linear:
    """An affine map: weight [D_out, D_in], bias [D_out] or None."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class ProjectionWeights:
    """The four maps of a multi-head module; head h owns rows (of ``out``: columns) h * d_k : (h + 1) * d_k.

    ``sinks`` [H] are logits that take part in the softmax, where the formula has learned ones. ``query_norm`` and ``key_norm``
    are the gains and shifts of their normalisation, [d_k] or [heads * d_k], where there are some; ``table``
    [buckets, H] is that of the biases of distances.
    """

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    sinks: Array | None = field(default=None, kw_only=True)
    table: Array | None = field(default=None, kw_only=True)
    query_norm: Linear | None = field(default=None, kw_only=True)
    key_norm: Linear | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Attention:
    """What an implementation must compute, each with its bound; ``scores`` are scaled, capped and not yet masked.

    ``slope`` is the derivative of the soft cap at each score, None where there is no cap; ``rest`` is the weight of the sink
    [..., Tq, 1], None where there is none; ``lse`` the log-sum-exp [..., Tq], where the formula returns it; ``seen``
    [..., Tq, Tk] the keys whose weight the softmax may make other than zero, None where it may of all.
    """

    output: Bounded
    weights: Bounded
    scores: Bounded
    slope: Bounded | None
    rest: Bounded | None
    lse: Bounded | None = field(default=None, kw_only=True)
    seen: NDArray[np.bool_] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class MultiHead(Attention):
    """Attention of all heads with what led to it: ``heads`` are Q, K, V, each [B, H, T, d_k]; ``mixed`` is Z, merged.

    K and V are repeated for the query heads that share them; ``kv_heads`` says how many there are. ``sides`` are Q and K
    before that, with what their derivatives need; ``bias_shape`` is that of the bias, where one is given.
    """

    inputs: tuple[Array, Array, Array]
    projections: ProjectionWeights
    head: int
    mask: NDArray[np.bool_] | None
    heads: tuple[Bounded, Bounded, Bounded]
    sides: tuple[between.ScoreSide, between.ScoreSide]
    mixed: Bounded
    formula: Formula = PLAIN
    kv_heads: int = 0
    bias_shape: tuple[int, ...] | None = None


class OracleError(RuntimeError):
    """The oracle itself gave something that is not a finite number: never a verdict on the subject."""


def attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    mask: NDArray[np.bool_] | None,
    precision: Precision,
    fully_masked_row: FullyMaskedRow = "zeros",
    formula: Formula = PLAIN,
    sinks: Array | None = None,
) -> Attention:
    """Evaluate scaled dot-product attention on [..., T, d] arrays whose numbers are exact in the tested format.

    Args:
        query: [..., Tq, d].
        key: [..., Tk, d].
        value: [..., Tk, dv].
        mask: bool, broadcastable to [..., Tq, Tk]; True may attend.
        precision: how the implementation rounds.
        fully_masked_row: weights of a row with no allowed key: zeros, or 1 / Tk everywhere; a fill decides that itself.
        formula: what is computed; ``mask`` is then the effective one.
        sinks: the logit of each head [H], where the formula has learned ones; then arrays are [B, H, T, d].

    Raises:
        OracleError: a value or bound is NaN, or a value is infinite.
    """
    arithmetic = Arithmetic(precision)
    q, k, v = (Bounded.exact(x) for x in (query, key, value))
    if formula.between:
        q, k = (side.heads for side in between.sides(arithmetic, formula, q, k))
    return _checked(core(arithmetic, q, k, v, mask, fully_masked_row, None, formula, sinks))


def multi_head(
    query: Array,
    key: Array,
    value: Array,
    projections: ProjectionWeights,
    head: int,
    mask: NDArray[np.bool_] | None,
    precision: Precision,
    fully_masked_row: FullyMaskedRow = "zeros",
    bias: Array | None = None,
    *,
    exact_heads: bool = False,
    formula: Formula = PLAIN,
) -> MultiHead:
    """Evaluate multi-head attention on query [B, Tq, D], key and value [B, Tk, D].

    ``mask`` is the effective one (:meth:`Formula.allowed`): bool, broadcastable to [B, Tq, Tk], the same for every head;
    ``bias``, [B, Tq, Tk] or [B or 1, H or 1, Tq, Tk], is added to the scores after they are scaled, before or after the soft
    cap as the formula says. ``exact_heads`` says that every implementation computes Q, K and V without any rounding.

    Returns output [B, Tq, D_out] and weights [B, head, Tq, Tk]. Raises as :func:`attention`.
    """
    arithmetic = Arithmetic(precision)
    kv_heads = shared_heads(projections, head, formula)
    q, k, v = (
        split_heads(_linear(arithmetic, Bounded.exact(x), linear), own)
        for x, linear, own in (
            (query, projections.query, head),
            (key, projections.key, kv_heads),
            (value, projections.value, kv_heads),
        )
    )
    if exact_heads:
        q, k, v = (Bounded.exact(x.value) for x in (q, k, v))
    sides = between.sides(arithmetic, formula, q, k, (projections.query_norm, projections.key_norm))
    q, k, v = sides[0].heads, groups.repeat(sides[1].heads, head), groups.repeat(v, head)
    added = bias[:, None] if bias is not None and bias.ndim == 3 else bias
    allowed = None if mask is None else mask[:, None]
    learned = projections.sinks, projections.table
    inner = core(arithmetic, q, k, v, allowed, fully_masked_row, added, formula, *learned)
    mixed = merge_heads(inner.output)
    output = _linear(arithmetic, mixed, projections.out)
    stages = output, inner.weights, inner.scores, inner.slope, inner.rest
    inputs = (query, key, value)
    return _checked(MultiHead(*stages, inputs, projections, head, mask, (q, k, v), sides, mixed, formula, kv_heads,
                              None if added is None else added.shape, lse=inner.lse, seen=inner.seen))  # fmt: skip


def shared_heads(projections: ProjectionWeights, head: int, formula: Formula) -> int:
    """Return how many heads of keys and values there are: as many as queries have, unless the formula groups them."""
    if formula.kv_heads != "grouped":
        return head
    return len(projections.key.weight) // (len(projections.query.weight) // head)


def core(
    arithmetic: Arithmetic,
    query: Bounded,
    key: Bounded,
    value: Bounded,
    mask: NDArray[np.bool_] | None,
    fully_masked_row: FullyMaskedRow = "zeros",
    bias: Array | Bounded | None = None,
    formula: Formula = PLAIN,
    learned: Array | None = None,
    table: Array | None = None,
) -> Attention:
    """Evaluate attention on [..., T, d] arrays that already carry an error; arguments as :func:`attention`."""
    scores = arithmetic.scores(query, key.mT, formula.factor(query.value.shape[-1]))
    added = [] if bias is None else [bias if isinstance(bias, Bounded) else Bounded.exact(bias)]
    added += [of_places(arithmetic, formula, scores.value.shape, table)] if formula.distant else []
    slope = None
    for term in added if formula.caps_bias else ():
        scores = given_bias.added(arithmetic, scores, term)
    if formula.softcap is not None:
        slope = softcap.slope(arithmetic, scores, formula.softcap)
        scores = softcap.stage(arithmetic, scores, formula.softcap)
    for term in () if formula.caps_bias else added:
        scores = given_bias.added(arithmetic, scores, term)
    if not np.isfinite(scores.value).all():  # checked here: a softmax would turn an infinite score into a plain weight
        raise OracleError("a score is not a finite number in the oracle; this is an error of mhsa, report it")
    allowed = None if mask is None else np.broadcast_to(mask, scores.value.shape)
    filled, seen, even_rows = scores, allowed, fully_masked_row == "uniform"
    if formula.fill is not None and allowed is not None:
        filled, seen = fill.stage(arithmetic, scores, allowed, formula.fill)
        even_rows = formula.fill.how == "set"
    rest = None
    sink = None if formula.sinks is None else sinks.logits(arithmetic, formula.sinks, learned)
    logarithm = None if formula.lse is None else lse.stage(arithmetic, filled, seen, sink, formula.lse)
    if sink is not None:
        weights, rest = sinks.softmax(arithmetic, filled, seen, sink)
    else:
        weights = arithmetic.softmax(filled, seen)
    if rest is None and allowed is not None and even_rows:
        empty = ~allowed.any(axis=-1, keepdims=True)
        keys = max(allowed.shape[-1], 1)
        even = arithmetic.store(np.full_like(weights.value, 1.0 / keys), np.zeros_like(weights.value), 2)
        weights = Bounded(np.where(empty, even.value, weights.value), np.where(empty, even.error, weights.error))
    return Attention(arithmetic.matmul(weights, value), weights, scores, slope, rest, lse=logarithm, seen=seen)


def of_places(arithmetic: Arithmetic, formula: Formula, shape: tuple[int, ...], table: Array | None) -> Bounded:
    """Return the bias of scores [B, H, Tq, Tk] that their places have: [H, Tq, Tk]."""
    if isinstance(formula.bias, BiasTable):
        return bias_table.stage(formula.bias, formula.causal, shape, table)
    return alibi.stage(arithmetic, formula.bias, formula.causal, shape)


def _linear(arithmetic: Arithmetic, x: Bounded, linear: Linear) -> Bounded:
    y = arithmetic.linear(x, linear.weight, linear.bias)
    return Bounded(y.value, np.where(np.isnan(y.error), np.inf, y.error))  # infinite, times a weight of 0: anything is possible


def split_heads(x: Bounded, head: int) -> Bounded:
    """Return [B, T, head * d] as [B, head, T, d]."""
    batch, length, width = x.value.shape
    return x.reshape(batch, length, head, width // head).transpose(0, 2, 1, 3)


def merge_heads(x: Bounded) -> Bounded:
    """Return [B, head, T, d] as [B, T, head * d]."""
    batch, head, length, width = x.value.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, head * width)


def _checked(result: A) -> A:
    for name, part in (("output", result.output), ("weights", result.weights)):
        if not np.isfinite(part.value).all() or np.isnan(part.error).any():
            raise OracleError(f"the oracle's {name} or its bound is not a number; this is an error of mhsa, report it")
    return result
