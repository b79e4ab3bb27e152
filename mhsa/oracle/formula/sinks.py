"""Sinks: one more logit per head takes part in the softmax and has no value; the bound is derived in docs/bounds.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula.fields import Sinks

# The weights may be those without a sink, times the sigmoid of log-sum-exp minus sink: the sigmoid and the product.
_ROUNDINGS = 3


def logits(arithmetic: Arithmetic, sinks: Sinks, learned: Array | None) -> Bounded:
    """Return the logit of each head [H, 1, 1], or one for all: the parameter, or a constant as the format holds it.

    Raises:
        ValueError: sinks are learned, and there are none.
    """
    if sinks == "learned":
        if learned is None:
            raise ValueError("the formula has learned sinks; they must be given")
        return Bounded.exact(learned[:, None, None])
    value = np.full((1, 1, 1), float(sinks or 0.0))
    return Bounded(value, arithmetic.unit * np.abs(value))


def with_sink(x: Bounded, sink: Bounded) -> Bounded:
    """Return [B, H, Tq, Tk + 1]: scores, or what else belongs to the keys, and the sink's at the end."""
    shape = (*x.value.shape[:-1], 1)
    value = np.concatenate([x.value, np.broadcast_to(sink.value, shape)], axis=-1)
    return Bounded(value, np.concatenate([x.error, np.broadcast_to(sink.error, shape)], axis=-1))


def seen(mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return a mask that is broadcast to the scores' shape, with the sink, which every query sees."""
    if mask is None:
        return None
    whole = np.broadcast_to(mask, shape)
    return np.concatenate([whole, np.ones((*shape[:-1], 1), dtype=bool)], axis=-1)


def softmax(arithmetic: Arithmetic, scores: Bounded, mask: NDArray[np.bool_] | None, sink: Bounded) -> tuple[Bounded, Bounded]:
    """Return the weights of the keys [B, H, Tq, Tk], which sum to less than one, and of the sink [B, H, Tq, 1]."""
    whole = arithmetic.softmax(with_sink(scores, sink), seen(mask, scores.value.shape))
    error = whole.error + gamma(_ROUNDINGS, arithmetic.unit + OWN) * whole.value
    return Bounded(whole.value[..., :-1], error[..., :-1]), Bounded(whole.value[..., -1:], error[..., -1:])


def words(sinks: Sinks) -> str:
    """Return what a reader is told."""
    which = "a learned logit of each head" if sinks == "learned" else f"the logit {sinks:g}"
    return f"a sink ({which} takes part in the softmax and has no value)"
