"""Expected and observed weights of one small call, where they differ most: what ``mhsa diagnose`` draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_QUERIES, _KEYS = 4, 5  # three matrices of this size fit side by side in 80 columns
_MASKS = ("none", "random", "causal", "padding")


def portrait(subject: Subject) -> dict[str, Any] | None:
    """Return the head whose weights are furthest off; None if all are right.

    With W_V = W_O = 1, no biases, and the j-th value e_j in every head, the output of a head is its row of weights, in
    any implementation.
    """
    found: list[tuple[float, dict[str, Any]]] = []
    for mask in _MASKS:
        if mask in subject.masks:
            try:
                found += _of_case(subject, mask)
            except (check.Violation, ValueError):
                continue
    worst = max(found, key=lambda pair: pair[0], default=None)
    return worst[1] if worst is not None and worst[0] > 0 else None


def _of_case(subject: Subject, mask: str) -> list[tuple[float, dict[str, Any]]]:
    head, d_model = subject.adapter.sizes or (2, 2 * _KEYS)
    d_k = d_model // head
    keys = min(_KEYS, d_k)
    tie = subject.ties[0]
    case = Case(
        dtype="float64" if "float64" in subject.dtypes else subject.dtypes[0],
        batch=2, head=head, query_length=keys if is_square(subject.adapter) else _QUERIES, key_length=keys, d_k=d_k,
        data="normal", mask=mask, tie=tie, seed=4,
    )  # fmt: skip
    trial = Trial(subject, case, counted=False)
    eye, none = np.eye(d_model), np.zeros(d_model)
    trial.write(value_weight=eye, value_bias=none, out_weight=eye, out_bias=none)
    units = np.zeros((keys, d_k))
    units[:, :keys] = np.eye(keys)
    value = np.broadcast_to(np.tile(units, (1, head)), (2, keys, d_model)).copy()
    inputs = {"none": (trial.query, trial.key, value), "kv": (trial.query, value, value), "all": (value, value, value)}[tie]
    answer = trial(*inputs)
    mixed = answer.output.reshape(2, -1, head, d_k).transpose(0, 2, 1, 3)[..., :keys]
    candidates = [("by which the output mixes the values", mixed)]
    if answer.weights is not None:
        candidates.append(("as they are returned", answer.weights))
    expected, room = answer.expected.weights.value, answer.expected.weights.error + 2.0**-40
    return [_worst(what, seen, expected, room, answer.mask, case) for what, seen in candidates]


def _worst(what: str, seen: Array, expected: Array, room: Array, mask: Any, case: Case) -> tuple[float, dict[str, Any]]:
    difference = np.where(np.isfinite(seen), np.abs(seen - expected), 2.0)  # NaN is worse than any weight
    wrong = np.where(difference > room, difference, 0.0)
    sample, head = np.unravel_index(wrong.sum((2, 3)).argmax(), wrong.shape[:2])
    allowed = None if mask is None else mask[sample].tolist()
    observed = [[float(x) if np.isfinite(x) else None for x in row] for row in seen[sample, head]]
    facts = {"what": what, "sample": int(sample), "head": int(head), "case": str(case), "allowed": allowed,
             "expected": expected[sample, head].tolist(), "observed": observed}  # fmt: skip
    return float(wrong.max(initial=0.0)), facts
