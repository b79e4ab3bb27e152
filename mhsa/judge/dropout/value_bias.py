"""A bias of the values: where the weights are dropped, each feature of a head gets what its weights are together."""

from __future__ import annotations

import numpy as np

from mhsa.judge.dropout.dropped_weights import Dropped, by_head, look, rounding, uniform
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def require_dropped_bias(trial: Trial, inputs: tuple[Array, Array, Array], dropped: Dropped, tolerance: float) -> None:
    """Fail unless a bias of the values is dropped with them: each feature of a head gets what its weights are together.

    Where the output is dropped, and not the weights, each feature is dropped with its bias instead. A module with random
    numbers of its own drops others in the next call, and is not judged.
    """
    again = by_head(trial(*inputs).output, trial.case.head) * dropped.seen.sum(axis=-1, keepdims=True)
    if not np.array_equal(again, dropped.kept):
        return
    features, of_weights, of_output = with_bias(trial, inputs, dropped)
    error = np.broadcast_to(4.0 * tolerance, features.shape)
    for required in (of_output, of_weights):
        if (np.abs(features - required) <= error)[dropped.seen].all():
            return
    check.agree("output with a bias of values of 1", (features, error), (of_weights, np.zeros_like(features)), dropped.seen)


def with_bias(trial: Trial, inputs: tuple[Array, Array, Array], dropped: Dropped) -> tuple[Array, Array, Array]:
    """Return the features of a call in which values have a bias of 1; what they are if weights are dropped; or the output."""
    trial.write(value_bias=np.ones(trial.projections.value.weight.shape[0]))
    features = by_head(trial(*inputs).output, trial.case.head)
    keys = dropped.seen.sum(axis=-1, keepdims=True)
    shares = np.where(dropped.seen, dropped.kept, 0.0)
    of_weights = (dropped.kept + shares.sum(axis=-1, keepdims=True)) / keys
    return features, of_weights, dropped.kept * (1.0 + keys) / keys


def drops_weights(subject: Subject, case: Case, rate: float) -> bool:
    """Whether it is the weights that are dropped, as far as a bias of the values tells."""
    trial, inputs = uniform(subject, case, rate)
    dropped = look(subject, case, rate, trial, inputs)
    if dropped.sites > 1 or trial.projections.value.bias is None or "value.bias" in trial.views.fixed:
        return False
    features, of_weights, _ = with_bias(trial, inputs, dropped)
    error = 4.0 * rounding(subject, case, dropped.kept) / (1.0 - rate)
    return bool((np.abs(features - of_weights) <= error)[dropped.seen].all())
