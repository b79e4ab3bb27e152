"""Weights of a part of the heads that are returned, [B, Tq, Tk]: a mean, a sum, or those of one head; named as what they are.

No property asks for them, but what they are without a mask they must be under one. A second softmax that forgets the mask is a
usual mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

Part = Callable[[Arithmetic, Bounded], Bounded]
_PARTS: dict[str, Part] = {
    "those of the first head": lambda _, weights: weights[:, 0],
    "those of the last head": lambda _, weights: weights[:, -1],
    "the mean over heads": lambda by, weights: _mean(by, weights),
    "the sum over heads": lambda by, weights: by.total(weights, 1, weights.value.shape[1])[:, 0],
}


def part_of_weights(subject: Subject, at: int) -> tuple[str, str]:
    """Return what the returned value ``at`` is without a mask, and what is wrong with it under one; each may be empty.

    It has the shape [B, Tq, Tk].
    """
    alone = replace(subject, device="cpu")
    case = generic_case(alone)
    try:
        trial = Trial(alone, case, counted=False)
        words = next((words for words, part in _PARTS.items() if _is(trial, at, part, None)), "")
        turned = next((words for words, part in _PARTS.items() if _is(trial, at, part, None, turned=True)), "")
        if turned and not words:
            return "", f"they are {turned}, with queries and keys exchanged"
        if not words or not subject.adapter.takes_mask:
            return words, ""
        mask = hiding((case.batch, case.query_length, case.key_length), 0, subject.contract)
        right = _is(trial, at, _PARTS[words], mask)
    except (check.Violation, check.Inapplicable):  # the properties will meet it again and report it
        return "", ""
    return words, "" if right else f"without a mask they are {words}, and under one they are not"


def _is(trial: Trial, at: int, part: Part, mask: Mask | None, *, turned: bool = False) -> bool:
    answer = trial(mask=mask)
    returned = trial.caller.items(trial.module, *trial.last_tensors)[at]
    return is_exact(numbers(returned.mT if turned else returned), part(Arithmetic(trial.precision), answer.expected.weights))


def _mean(by: Arithmetic, weights: Bounded) -> Bounded:
    heads = weights.value.shape[1]
    total = by.total(weights, 1, heads)[:, 0]
    return by.store(total.value / heads, total.error / heads)
