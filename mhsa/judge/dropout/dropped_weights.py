"""What dropout did to the weights, read off the output of any implementation.

With W_Q = 0 every key weighs 1 / Tk; with values e_1, ..., e_Tk (Tk = d_k) and W_V = W_O = 1 the output of each head is its row
of weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mhsa.judge.dropout.unused_rate import ever_drops, require_use
from mhsa.oracle.bounded import Array, gamma
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.guard import guard
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

NO_RATE = "needs dropout whose rate can be set: in the constructor, as nn.Dropout, or in an attribute such as dropout_p"
MOST_SITES = 3  # weights, what each head gives, the output
_NEVER = 1e-9  # a probability


@dataclass(frozen=True)
class Dropped:
    """What dropout did.

    Attributes:
        kept: [B, H, Tq, Tk], the mixed weights times the number of keys that the query sees: 0 where dropped.
        seen: bool [B, H, Tq, Tk], the keys that each query sees.
        sites: 1 if weights are dropped, 2 if the output is dropped as well, 3 if what each head gives is, too.
        rate: the share that must be dropped.
    """

    kept: Array
    seen: NDArray[np.bool_]
    sites: int
    rate: float


def of_several_heads(subject: Subject, case: Case) -> Case:
    """Return a case of three heads or more where sizes are free: one may lack an out projection, and a dropout behind it."""
    return case.resized(head=subject.heads(3), d_k=16) if subject.adapter.sizes is None else case


def dropping(subject: Subject, case: Case, rate: float) -> nn.Module:
    """A new module with this rate; not applicable where it cannot be set."""
    module = guard("building it with dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, rate))
    if module is None:
        check.inapplicable(NO_RATE)
    return module


def uniform(
    subject: Subject, case: Case, rate: float, head: int = 3, queries: int = 12
) -> tuple[Trial, tuple[Array, Array, Array]]:
    """A module in train mode whose weights are 1 / Tk and whose output is its weights, and the inputs that make it so."""
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    check.not_under(subject.contract.formula.distant, "equal keys have equal scores")
    case = of_several_heads(subject, case).resized(
        **({} if subject.adapter.sizes is not None else {"head": subject.heads(head)})
    )
    module = dropping(subject, case, rate)
    length = case.d_k
    if length < 2:
        check.inapplicable("needs heads of two features or more, and the subject is built with one")
    queries = length if case.tie == "all" else queries
    batch = max(3, min(4000 // (case.head * queries * length), 64))
    case = case.resized(batch=batch, query_length=queries, key_length=length)
    case = replace(case, layout="contiguous", data="integers")
    trial = Trial(subject, case, module=module)
    eye, none = np.eye(case.d_model), np.zeros(case.d_model)
    trial.write(
        query_weight=np.zeros_like(eye),
        query_bias=none,
        value_weight=eye,
        value_bias=none,
        out_weight=eye,
        out_bias=none,
        query_norm_bias=none,
    )
    value = np.broadcast_to(np.tile(np.eye(length), (1, case.head)), (batch, length, case.d_model)).copy()
    trial.train()
    inputs = {"none": (trial.query, trial.key, value), "kv": (trial.query, value, value), "all": (value, value, value)}
    return trial, inputs[case.tie]


def by_head(x: Array, head: int) -> Array:
    """[B, T, D] as [B, H, T, d_k]."""
    return x.reshape(*x.shape[:2], head, -1).transpose(0, 2, 1, 3)


def rounding(subject: Subject, case: Case, kept: Array) -> float:
    """How far from its value a weight times the number of keys may be."""
    return gamma(kept.shape[-1] + 16, subject.precision(case.dtype).unit) + 2.0**-50


def look(subject: Subject, case: Case, rate: float, trial: Trial, inputs: tuple[Array, Array, Array], few: str = "") -> Dropped:
    """Call a module that :func:`uniform` has made, and read off what was dropped; ``few`` is what it has one of."""
    answer = trial(*inputs)
    weights = by_head(answer.output, trial.case.head)
    seen = np.ones(weights.shape, bool) if answer.mask is None else np.broadcast_to(answer.mask[:, None], weights.shape)
    kept = weights * seen.sum(axis=-1, keepdims=True)
    used = bool((np.abs(kept - 1.0) > rounding(subject, case, kept))[seen].any())
    if few and not used and (1.0 - rate) ** int(seen.sum()) < _NEVER:
        check.fail(f"with one {few} nothing is dropped at a rate of {rate}, but with more of them something is", what="dropout")
    if not few:
        require_use(subject, rate, used=used or ever_drops(trial, rate))
    scale = 1.0 / (1.0 - rate)
    # Dropouts in a row, on the weights, on what each head gives and on the output, are usual too; the size of the weights that
    # are left shows how many: how often they were scaled up, each time by the same factor.
    left = kept[kept != 0]
    sites = int(np.clip(np.round(np.log(np.median(np.abs(left))) / np.log(scale)), 1, MOST_SITES)) if left.size else 1
    return Dropped(kept, seen, sites, 1 - (1 - rate) ** sites)


def drop(subject: Subject, case: Case, rate: float) -> Dropped:
    """Build the module with this rate, call it in train mode and read off what was dropped."""
    return look(subject, case, rate, *uniform(subject, case, rate))
