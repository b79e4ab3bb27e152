"""A finite number in place of -inf: where scores come near it, masked keys have the weights that it gives them."""

import math

import numpy as np
from hypothesis import given

from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.crafted_inputs import lowered
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


@given(
    case=cases(masks=("padding", "random"), min_keys=2, data=("integers", "normal"), dtypes=("float64", "float32"), small=True)
)
def test_the_number_is_the_declared_one(subject: Subject, case: Case) -> None:
    """A finite number that hides masked keys is the declared one: where scores come near it, weights are what it gives.

    Statement: |O - o| <= B where masked and allowed keys have weights of one size: where scores are set to the number, allowed
        ones are about it; where it is added, those of a masked key are minus half of it and allowed ones half of it.
    Requires: masks; a declared fill.
    Source: definition.
    Breaks it: another number than the declared one, one that is added where it is declared to be set, masked weights that are
        set to zero afterwards without those of allowed keys being raised.
    """
    fill = subject.contract.formula.fill
    if fill is None:
        check.inapplicable("needs a contract with a fill, the finite number that hides masked keys")
    trial = Trial(subject, case)
    apart = -fill.number if fill.how == "set" else -fill.number / 2.0
    large = float(trial.round(np.array([math.sqrt(apart / trial.formula.factor(trial.d_k))]))[0])
    query, key, value = lowered(trial, large)
    assert trial.mask is not None
    mask = trial.mask.copy()
    mask[:, :, 0], mask[:, :, -1] = True, False
    if fill.how == "added" and case.tie != "all":
        key = key.copy()
        key[:, -1, :: case.d_k] *= -1.0
        value = key if case.tie == "kv" else value
    answer = trial(query, key, value, mask)
    check.within("output", answer.output, answer.expected.output, answer.judged)
