"""A finite number that hides masked keys, where others have -inf: found by calling, where scores lie beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from mhsa.oracle.bounded import Array
from mhsa.oracle.formula.fields import LEAST_FILL, Fill
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.generic_inputs import generic_case, hiding
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

How = Literal["set", "added"]
_FARTHEST = 2.0**20  # beyond every score that a property makes
_NEAR = 0.25  # of the number: there masked and allowed keys both have weights that can be measured
_CLOSE = 0.01  # of what is measured, in float32 too: the number that is meant, which an exact fit then confirms
_MOST_DIGITS = 9  # of a number that somebody writes
_SEEDS = (1, 2)  # of other masks and tokens, on which what was found is tried


def find_fill(subject: Subject) -> Fill | None:
    """Return the number under which the subject is exactly the oracle on both sides of it; None where there is none.

    Args:
        subject: as it was read, on the CPU; with -inf it fits in ordinary calls.
    """
    if subject.contract.fill is not None or not subject.adapter.takes_mask or subject.contract.mask == "additive":
        return None  # it is declared, or hides nothing, or the number is the caller's
    kinds: tuple[How, ...] = ("set", "added")
    try:
        return next((fill for how in kinds if (fill := _find(subject, how)) is not None), None)
    except (check.Violation, check.Inapplicable):  # the properties will meet it again and report it
        return None


def _find(subject: Subject, how: How) -> Fill | None:
    if how == "added" and subject.ties[0] == "all":
        return None  # masked keys are queries, too: no property gives them alone a large score
    calls = _Calls(subject, how, seed=0)
    low, high = LEAST_FILL / 4.0, _FARTHEST
    if not (calls.share(high) < 0.5 < calls.share(low)):
        return None
    while high - low > _NEAR:
        middle = (low + high) / 2.0
        low, high = (middle, high) if calls.share(middle) > 0.5 else (low, middle)
    for number in _written(calls.measured(high)):
        under = subject.under(replace(subject.contract, fill=Fill(number, how)))
        at = -number if how == "set" else -number / 2.0
        sizes = (LEAST_FILL / 4.0, at - 1.0, at, at + 1.0, _FARTHEST)
        if all(tried.is_exact(size) for seed in _SEEDS for tried in [_Calls(under, how, seed)] for size in sizes):
            return Fill(number, how)
    return None


def _written(measured: float) -> Iterator[float]:
    """Yield the numbers near what was measured that a fill may be, those of the fewest digits first."""
    close = (float(f"{measured:.{digits}g}") for digits in range(1, _MOST_DIGITS + 1))
    for number in dict.fromkeys(n for n in close if abs(n - measured) <= _CLOSE):
        if number <= -LEAST_FILL:
            yield number


class _Calls:
    """Calls in which every allowed score is minus a given size, and that of masked keys is so, too, or ("added") plus it.

    Every query of a sample has the same mask. One feature of each head makes the scores; values come from the others.
    """

    def __init__(self, subject: Subject, how: How, seed: int) -> None:
        self.trial = trial = Trial(subject, generic_case(subject, seed=seed), counted=False)
        self.tie = subject.ties[0]
        check.not_under(trial.formula.between, "needs queries and keys that go into the scores as they are")
        check.not_under(trial.formula.capped, "needs scores of any size")
        case, none = trial.case, np.zeros(trial.case.d_model)
        first = np.zeros((case.d_model, case.d_model))
        first[:: case.d_k, :: case.d_k] = np.eye(case.head)
        trial.write(query_weight=first, query_bias=none, key_weight=-first, key_bias=none)
        if self.tie != "none":
            trial.write(value_weight=np.eye(case.d_model) - first)
        shape = (case.batch, case.query_length, case.key_length)
        mask = trial.opened(np.broadcast_to(hiding(shape, seed, subject.contract)[:, :1], shape).copy())
        assert mask is not None
        self.mask = mask
        self.signs = np.where(mask.any(axis=1) | (how == "set"), 1.0, -1.0)
        self.drawn = trial.query, trial.key, trial.value

    def answer(self, size: float) -> Answer:
        """Call with scores of this size."""
        trial, large = self.trial, math.sqrt(size / self.trial.formula.factor(self.trial.d_k))

        def scored(x: Array, signs: Array | float) -> Array:
            x = x.copy()
            x[..., :: trial.case.d_k] = large * np.asarray(signs)[..., None]
            return x

        query, key, value = self.drawn
        trial.query = scored(query, 1.0)
        trial.key = trial.query if self.tie == "all" else scored(key, self.signs)
        trial.value = value if self.tie == "none" else trial.key
        return trial(mask=self.mask)

    def is_exact(self, size: float) -> bool:
        """Whether the output is the oracle's."""
        answer = self.answer(size)
        required = answer.expected.output
        return bool((np.abs(answer.output - required.value) <= required.error)[answer.attended[..., 0]].all())

    def share(self, size: float) -> float:
        """Return the weight of all allowed keys together; NaN where the output is no mixture of those and the masked ones."""
        return self._share(self.answer(size))[0]

    def measured(self, size: float) -> float:
        """Return the number that gives masked keys the weight that they have at this size."""
        answer = self.answer(size)
        share, sample, query = self._share(answer)
        assert answer.mask is not None
        allowed = answer.mask[sample, query]
        scores = answer.expected.scores.value[sample, 0, query]
        if not 0.0 < share < 1.0:
            return math.nan
        number = scores[allowed][0] + math.log((1.0 - share) * allowed.sum() / (share * (~allowed).sum()))
        return float(number if (self.signs > 0).all() else number - scores[~allowed][0])

    def _share(self, answer: Answer) -> tuple[float, int, int]:
        """Return the share of the allowed keys in one row, its sample and its query."""
        assert answer.mask is not None
        both = np.argwhere(answer.mask.any(axis=-1) & (~answer.mask).any(axis=-1))
        if not len(both):
            return math.nan, 0, 0
        sample, query = (int(i) for i in both[0])
        shown, hidden = (self.trial.expect_under(m).output.value[sample, query] for m in (answer.mask, ~answer.mask))
        across, along = shown - hidden, answer.output[sample, query] - hidden
        return float(along @ across / (across @ across)), sample, query
