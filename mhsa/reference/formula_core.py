"""The reference's core for everything that a formula may declare, written to be read: one stage after the other.

rotary positions -> shared heads -> scores times scale -> soft cap and bias -> mask -> softmax with a sink -> dropout -> values
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mhsa.oracle.formula.formula import Formula
from mhsa.reference.exact_core import mix, tame
from mhsa.reference.positions import alibi, distances, rotated, seen

_SATURATED = 700.0  # tanh is 1 from 20 on, and its derivative 0: what is larger may be cut, and is then finite


def formula_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    formula: Formula,
    *,
    dropout: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of all heads as the formula declares it; what :func:`mhsa.self_attention` is for the plain one.

    Args:
        query: [B, H, Tq, d], floating point.
        key: [B, G, Tk, d], with G = H, or a divisor of H: query head h then reads key head h // (H / G).
        value: [B, G, Tk, dv].
        formula: what is computed.
        dropout: applied to the weights.
        mask: bool, broadcastable to [B, H, Tq, Tk]; True may attend, if the formula's causality and window allow it, too.
        bias: broadcastable to [B, H, Tq, Tk], finite, where the formula has a given one.
        sinks: [H], where the formula has learned ones.

    Returns:
        Z [B, H, Tq, dv] and A [B, H, Tq, Tk], both in the dtype of ``query``; A is what multiplied V: after dropout.
    """
    weights = formula_weights(query, key, formula, mask, bias, sinks)
    if dropout is not None:
        weights = dropout(weights)
    value = value.repeat_interleave(query.size(1) // value.size(1), dim=1)
    return mix(weights, value.to(weights.dtype)).to(query.dtype), weights.to(query.dtype)


def formula_weights(
    query: Tensor,
    key: Tensor,
    formula: Formula,
    mask: Tensor | None,
    bias: Tensor | None,
    sinks: Tensor | None,
    rows: tuple[int, int] | None = None,
) -> Tensor:
    """Return the weights [B, H, Tq, Tk] before dropout, in float32 for float16 heads, else in float64.

    ``rows`` (first, last) are the queries that are wanted, of ``mask`` and ``bias`` as well; all of them where it is None.
    """
    wide = torch.float32 if query.dtype == torch.float16 else torch.float64
    first, last = (0, query.size(-2)) if rows is None else rows
    if key.size(-2) == 0:
        return query.new_zeros(*query.shape[:2], last - first, 0, dtype=wide)
    distance = distances(formula, query.size(-2), key.size(-2), query.device, first, last)
    query, query_power = tame(query.to(wide), dim=(-1,))  # divided by powers of two, so that no score overflows
    key, key_power = tame(key.to(wide), dim=(-2, -1))
    query, key = rotated(formula, query, key)
    query = query[..., first:last, :]
    query_power = None if query_power is None else query_power[..., first:last, :]
    key = key.repeat_interleave(query.size(1) // key.size(1), dim=1)
    key_power = None if key_power is None else key_power.repeat_interleave(query.size(1) // key_power.size(1), dim=1)

    def in_full(x: Tensor) -> Tensor:
        for power in (query_power, key_power):
            x = x if power is None else torch.ldexp(x, power)
        return x

    allowed = seen(formula, distance, mask)
    term = None if bias is None else bias.to(wide)
    if formula.distant:
        term = alibi(formula, query.size(1), distance, wide)
    scores = (query @ key.transpose(-2, -1)) * formula.factor(query.size(-1))
    if formula.softcap is None:
        # Softmax knows differences alone: the maximum is taken off while the scores are small, which no later step overflows.
        top = _largest(scores, allowed)
        far = torch.finfo(wide).max / 4  # farther than any two scores whose exponentials can be told apart, and finite
        logits, shift = in_full(scores - top), in_full(top).clamp(-far, far)
        logits = logits if term is None else logits + term
    else:
        logits, shift = _capped(in_full(scores), formula, term), torch.zeros_like(scores[..., :1])
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -math.inf)
    return _softmax(logits, formula, sinks, shift)


def _capped(scores: Tensor, formula: Formula, term: Tensor | None) -> Tensor:
    """Return c tanh(s / c), the bias added before or after as the formula says."""
    cap = formula.softcap
    assert cap is not None
    if formula.caps_bias and term is not None:
        scores, term = scores + term, None
    scores = cap * torch.tanh((scores / cap).clamp(-_SATURATED, _SATURATED))
    return scores if term is None else scores + term


def _softmax(logits: Tensor, formula: Formula, sinks: Tensor | None, shift: Tensor) -> Tensor:
    """Return the weights of the keys, which a sink may leave less than one of; a row without any key has none.

    ``shift`` was taken off the logits of each row, and is so of the sink's.
    """
    sink = None
    if formula.sinks is not None:
        own = torch.full_like(logits[0, :, 0, 0], float(formula.sinks)) if sinks is None else sinks.to(logits.dtype)
        sink = (own.view(-1, 1, 1) - shift).expand(*logits.shape[:3], 1)
        logits = torch.cat([logits, sink], dim=-1)
    exponentials = torch.exp(logits - _largest(logits, None))
    total = exponentials.sum(dim=-1, keepdim=True)
    weights = exponentials / total.masked_fill(total == 0.0, 1.0)
    return weights if sink is None else weights[..., :-1]


def _largest(x: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the largest number of each row, of what is allowed; 0 where nothing is. Softmax passes it no gradient."""
    x = x.detach()
    top = (x if allowed is None else x.masked_fill(~allowed, -math.inf)).amax(dim=-1, keepdim=True)
    return top.masked_fill(top == -math.inf, 0.0)
