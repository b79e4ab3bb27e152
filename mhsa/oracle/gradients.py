"""The oracle's derivatives: gradients (reverse mode) and directional derivatives (forward mode), with bounds.

The formulas are those of the chain rule written out by hand, evaluated on arrays that carry their error; docs/bounds.md
derives the one rule that is not in :mod:`mhsa.oracle.bounded`, the derivative of softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.attention import Linear, MultiHead, OracleError, merge_heads, split_heads
from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula import bias_table, given_bias, groups, lse, qk_norm, sinks, softcap
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.precision import Precision

_LEAST = 2.0**-1022  # the logarithm of smaller weights says nothing more
_MOST = 300.0  # exp of it is beyond every number of float32 and the half formats, and can still be multiplied here


@dataclass(frozen=True)
class Gradients:
    """Gradients of L = <output, d_output> + <weights, d_weights> + <log-sum-exp, d_lse>.

    Attributes:
        query, key, value: as if the three were different tensors; [B, T, D].
        parameters: under the names ``query.weight``, ``query.bias`` and so on, without the biases that are not there.
        bias: of the scores, of the shape in which it was given; None where none was.
    """

    query: Bounded
    key: Bounded
    value: Bounded
    parameters: dict[str, Bounded]
    bias: Bounded | None = None


def gradients(
    result: MultiHead, precision: Precision, d_output: Array, d_weights: Array | None = None, d_lse: Array | None = None
) -> Gradients:  # fmt: skip
    """Differentiate; ``d_output`` [B, Tq, D], ``d_weights`` [B, H, Tq, Tk] and ``d_lse`` [B, H, Tq] are given exactly.

    "Exactly" is in the tested format; ``d_lse`` is of the logarithm to the base that the formula returns. Rows without any
    allowed key pass no gradient to their scores.

    Raises:
        OracleError: a gradient is not a finite number.
    """
    arithmetic = Arithmetic(precision)
    p = result.projections
    q, k, v = result.heads
    dy = Bounded.exact(d_output)
    found: dict[str, Bounded] = {}
    dz = split_heads(_input(arithmetic, dy, p.out.weight, result.head), result.head)
    _parameters(arithmetic, found, "out", p.out, dy, result.mixed)

    dp = arithmetic.matmul(dz, v.mT)
    if d_weights is not None:
        dp = arithmetic.add(dp, Bounded.exact(d_weights))
    weights = _recomputed(arithmetic, result)
    mean = _mean(arithmetic, weights, dp, None if d_weights is not None else (dz, split_heads(result.mixed, result.head)))
    # A score that was set to a number passes nothing on, whatever its weight; one to which a number was added does.
    added = result.formula.fill is not None and result.formula.fill.how == "added"
    passing = result.seen if added or result.mask is None else result.mask[:, None]
    of_lse = None if d_lse is None else lse.gradient(arithmetic, d_lse, result.formula.lse)
    ds = _through_softmax(arithmetic, weights, passing, dp, mean, _rest(arithmetic, result.rest), of_lse)
    if result.rest is not None:
        ds, d_sink = ds[..., :-1], ds[..., -1:]
        if result.projections.sinks is not None:
            rows = d_sink.value.shape[0] * d_sink.value.shape[2]
            total = arithmetic.total(d_sink, (0, 2, 3), rows)
            found["sinks"] = arithmetic.store(total.value, total.error, _additions(rows)).reshape(result.head)
    d_biased = ds
    if result.slope is not None:
        ds = softcap.chain(arithmetic, ds, result.slope)
    d_biased = ds if result.formula.caps_bias else d_biased
    of_bias = result.formula.bias
    if isinstance(of_bias, BiasTable) and p.table is not None:
        terms = _additions(d_biased.value.shape[0] * d_biased.value.shape[2] * d_biased.value.shape[3])
        count = len(p.table)
        found["table"] = bias_table.gradient(arithmetic, of_bias, result.formula.causal, d_biased, count, terms)
    scale = result.formula.factor(q.value.shape[-1])
    dq = arithmetic.scores(ds, k, scale)
    dk = arithmetic.scores(ds.mT, q, scale)
    dv = arithmetic.matmul(weights.mT, dz)
    of_query, of_key = result.sides
    if result.formula.kv_heads == "grouped":
        dk = of_key.before_a_sum(arithmetic, dk)
        dk, dv = (groups.gather(arithmetic, d, result.kv_heads) for d in (dk, dv))
    for role, side, d in (("query", of_query, dq), ("key", of_key, dk)):
        if side.normed is not None:
            rows = d.value.shape[0] * d.value.shape[2]
            parts = qk_norm.gradients(arithmetic, side.normed, side.after_the_norm(arithmetic, d), _additions(rows))
            found |= {f"{role}_norm.{part}": bounded for part, bounded in parts.items()}
    dq, dk = of_query.back(arithmetic, dq), of_key.back(arithmetic, dk)

    of_inputs = []
    maps = (("query", p.query, dq), ("key", p.key, dk), ("value", p.value, dv))
    for (name, linear, d_heads), x in zip(maps, result.inputs, strict=True):
        d = merge_heads(d_heads)
        _parameters(arithmetic, found, name, linear, d, Bounded.exact(x))
        of_inputs.append(_input(arithmetic, d, linear.weight, result.head))
    for name, bounded in [*found.items(), *zip(("query", "key", "value"), of_inputs, strict=True)]:
        if not np.isfinite(bounded.value).all():
            raise OracleError(f"the oracle's gradient of {name} is not a number; this is an error of mhsa, report it")
    query, key, value = map(_known, of_inputs)
    bias = None if result.bias_shape is None else _known(given_bias.gradient(arithmetic, d_biased, result.bias_shape))
    return Gradients(query, key, value, {name: _known(g) for name, g in found.items()}, bias)


def tied(precision: Precision, parts: list[Bounded]) -> Bounded:
    """Return the gradient of a tensor that is passed several times: the sum of those of its roles."""
    value = sum((p.value for p in parts[1:]), parts[0].value)
    error = sum((p.error for p in parts[1:]), parts[0].error)
    return _known(Arithmetic(precision).store(value, error, roundings=len(parts)))


def derivative(result: MultiHead, precision: Precision, d_query: Array, d_key: Array, d_value: Array) -> Bounded:
    """Return the derivative of the output [B, Tq, D] when the inputs move in the given direction (forward mode)."""
    arithmetic = Arithmetic(precision)
    p = result.projections
    q, k, v = result.heads
    kv_heads = result.kv_heads or result.head
    dq, dk, dv = (
        split_heads(arithmetic.matmul(Bounded.exact(x), Bounded.exact(linear.weight.T)), own)
        for x, linear, own in ((d_query, p.query, result.head), (d_key, p.key, kv_heads), (d_value, p.value, kv_heads))
    )
    of_query, of_key = result.sides
    dq, dk = of_query.push(arithmetic, dq), of_key.push(arithmetic, dk)
    dk, dv = (groups.repeat(d, result.head) for d in (dk, dv))
    scale = result.formula.factor(q.value.shape[-1])
    ds = arithmetic.add(arithmetic.scores(dq, k.mT, scale), arithmetic.scores(q, dk.mT, scale))
    if result.slope is not None:
        ds = softcap.chain(arithmetic, ds, result.slope)
    if result.formula.fill is not None and result.formula.fill.how == "set" and result.mask is not None:
        moving = result.mask[:, None]
        ds = Bounded(np.where(moving, ds.value, 0.0), np.where(moving, ds.error, 0.0))
    mean = _mean(arithmetic, result.weights, ds, None)
    dp = _through_softmax(arithmetic, result.weights, result.seen, ds, mean, result.rest)
    dp = dp if result.rest is None else dp[..., :-1]
    dz = arithmetic.add(arithmetic.matmul(dp, v), arithmetic.matmul(result.weights, dv))
    return _known(arithmetic.matmul(merge_heads(dz), Bounded.exact(p.out.weight.T)))


def _recomputed(arithmetic: Arithmetic, result: MultiHead) -> Bounded:
    """Return the weights as a backward pass may form them anew: exp(scores - log-sum-exp kept from the forward pass).

    Fused kernels do (Dao 2023, arXiv 2307.08691, algorithm 2). The scores are then rounded a second time, each by itself,
    and no normalisation takes that back: beside the weights' own error, a factor exp of twice the score's.

    Where results of blocks of keys are merged, old + (new - old) * sigmoid(difference of log-sum-exps), the old block's share
    is one minus another: its error is absolute, a rounding of one for each block. A hidden key has no share in any.
    """
    p = result.weights
    # s - log-sum-exp is rounded to |ln p|; gamma for that and a base-2 exponential.
    again = 2.0 * result.scores.error + gamma(2, arithmetic.unit + OWN) * -np.log(np.maximum(p.value, _LEAST))
    share = np.where(p.error > 0.0, gamma(_additions(p.value.shape[-1]), arithmetic.unit + OWN), 0.0)
    return Bounded(p.value, p.error + p.magnitude * np.expm1(np.minimum(again, _MOST)) + share)


def _rest(arithmetic: Arithmetic, rest: Bounded | None) -> Bounded | None:
    """Return the weight of the sink as a backward pass may form it anew, as :func:`_recomputed`; a sink is no sum."""
    if rest is None:
        return None
    again = gamma(2, arithmetic.unit + OWN) * -np.log(np.maximum(rest.value, _LEAST))
    return Bounded(rest.value, rest.error + rest.magnitude * np.expm1(again))


def _mean(arithmetic: Arithmetic, weights: Bounded, d: Bounded, flash: tuple[Bounded, Bounded] | None) -> Bounded:
    """Return sum_j p_j d_j [..., 1]; with ``flash`` = (dZ, Z) it may be evaluated as <dZ, Z>, as fused kernels do."""
    mean = arithmetic.total(arithmetic.multiply(weights, d), -1, d.value.shape[-1])
    if flash is None:
        return mean
    dz, z = flash
    other = arithmetic.total(arithmetic.multiply(dz, z), -1, z.value.shape[-1])
    return Bounded(mean.value, np.maximum(mean.error, other.error + np.abs(mean.value - other.value)))


def _through_softmax(
    arithmetic: Arithmetic,
    p: Bounded,
    mask: NDArray[np.bool_] | None,
    d: Bounded,
    mean: Bounded,
    rest: Bounded | None = None,
    of_lse: Bounded | None = None,
) -> Bounded:
    """Return p_j (d_j - sum_k p_k d_k), the Jacobian of softmax applied to ``d``, which is symmetric.

    ``of_lse`` [..., Tq, 1] is the gradient of the log-sum-exp, whose derivative is p_j: it is added to d_j. A sink, of weight
    ``rest``, has no value, so that its ``d`` is zero; its place is the last one. ``mask`` is broadcastable to [B, H, Tq, Tk].
    """
    if rest is not None:
        p, d = sinks.with_sink(p, rest), sinks.with_sink(d, Bounded.exact(0.0))
        mask = None if mask is None else sinks.seen(mask, (*mask.shape[:-1], p.value.shape[-1] - 1))
    value = p.value * (d.value - mean.value)
    room = d.error + mean.error
    error = p.error * (np.abs(d.value - mean.value) + room) + p.value * room
    # The quotient exp / sum differentiates into two terms that are formed apart, and the maximum that was taken off (of
    # the row, or of each block) receives what is left of a sum that is zero but for rounding. So both are measured by
    # the size of the terms, and what is left may arrive at any key.
    size = p.magnitude * (d.magnitude + mean.magnitude)
    step = arithmetic.normalisation(p.value.shape[-1]) + gamma(4, arithmetic.unit + OWN)
    if of_lse is not None:  # formed apart and added, or taken off the mean before; the maximum receives it, and gives it back
        value = value + p.value * of_lse.value
        error = error + p.error * of_lse.magnitude + p.value * of_lse.error
        size = size + p.magnitude * of_lse.magnitude
        step = step + gamma(4, arithmetic.unit + OWN)
    error = error + step * (size + size.sum(axis=-1, keepdims=True))
    if mask is not None:
        error = np.where(mask, error, 0.0)
        value = np.where(mask, value, 0.0)
        stored = arithmetic.store(value, error)
        return Bounded(value, np.where(mask, stored.error, 0.0))
    return arithmetic.store(value, error)


def _parameters(arithmetic: Arithmetic, found: dict[str, Bounded], name: str, linear: Linear, dy: Bounded, x: Bounded) -> None:
    """Add the gradients of one affine map, given those of its outputs [B, T, D_out] and its inputs [B, T, D_in]."""
    rows = dy.value.shape[0] * dy.value.shape[1]
    dy, x = (a.reshape(rows, a.value.shape[-1]) for a in (dy, x))
    roundings = _additions(rows)
    found[f"{name}.weight"] = arithmetic.matmul(dy.mT, x, roundings=roundings)
    if linear.bias is not None:
        total = arithmetic.total(dy, 0, rows + 2)[0]
        found[f"{name}.bias"] = arithmetic.store(total.value, total.error, roundings)


def _input(arithmetic: Arithmetic, dy: Bounded, weight: Array, head: int) -> Bounded:
    """Return dy @ weight; packed projections sum three of them in one product, loops over heads store once per head."""
    return arithmetic.matmul(dy, Bounded.exact(weight), times=3, roundings=head + 1)


def _additions(rows: int) -> int:
    """How often a sum over tokens may be stored on its way, by a loop over blocks of 16 tokens or longer."""
    return 2 + -(-rows // 16)


def _known(x: Bounded) -> Bounded:
    """Where a bound was lost on the way (an infinite error times zero), anything is possible."""
    return Bounded(x.value, np.where(np.isnan(x.error), np.inf, x.error))
