"""Weights of a part of the heads that are returned, [B, Tq, Tk]: a mean, a sum, or those of one head; named as what they are.

No property asks for them, but what they are without a mask they must be under one, and what they are of one sample they must be
of each of several; where they take part in autograd their gradients are those of what they are. A second softmax that forgets
the mask, or one sample too many in a mean, is a usual mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mhsa.oracle.bounded import Arithmetic, Array, Bounded
from mhsa.subject import check
from mhsa.subject.answer import Mask, expected_gradients
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
# How much of the gradient of a part each head gets.
_SHARES: dict[str, Callable[[int], Array]] = {
    "those of the first head": lambda heads: np.eye(heads)[0],
    "those of the last head": lambda heads: np.eye(heads)[-1],
    "the mean over heads": lambda heads: np.full(heads, 1.0 / heads),
    "the sum over heads": np.ones,
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
        wrong = _of_one_sample(Trial(alone, case.resized(batch=1), counted=False), at, words)
        if wrong or not words:
            return words, wrong
        if subject.adapter.takes_mask:
            mask = hiding((case.batch, case.query_length, case.key_length), 0, subject.contract)
            if not _is(trial, at, _PARTS[words], mask):
                return words, f"without a mask they are {words}, and under one they are not"
        return words, _wrong_gradient(trial, at, words)
    except (check.Violation, check.Inapplicable, RuntimeError):  # the properties will meet it again and report it
        return "", ""


def _of_one_sample(trial: Trial, at: int, words: str) -> str:
    """Return what is wrong with weights that are ``words`` of several samples, or nothing known, and another part of one."""
    answer = trial(mask=None)
    part = numbers(trial.caller.items(trial.module, *trial.last_tensors)[at])
    if part.shape != (1, *answer.expected.weights.value.shape[2:]) or (words and _is(trial, at, _PARTS[words], None)):
        return ""
    single = next((words for words, part in _PARTS.items() if _is(trial, at, part, None)), "")
    if not (words or single):
        return ""
    return f"in a batch of one sample they are {single or 'not ' + words}, and in a larger batch {words or 'they are not'}"


def _wrong_gradient(trial: Trial, at: int, words: str) -> str:
    """Return what is wrong with the gradients of query and key through the weights; empty where those are detached."""
    answer = trial(mask=None)
    names = ("query", "key", "value")
    ties: dict[Tensor, list[str]] = {}
    for name, tensor in zip(names, trial.last_tensors[:3], strict=True):
        ties.setdefault(tensor, []).append(name)
    leaves = {tensor: tensor.detach().requires_grad_() for tensor in ties}
    with torch.enable_grad():
        q, k, v = (leaves[tensor] for tensor in trial.last_tensors[:3])
        part = trial.caller.items(trial.module, q, k, v, None)[at]
        if not part.requires_grad:
            return ""
        case, shape = trial.case, tuple(part.shape)
        d_part = trial.cotangent(21, shape)
        observed = torch.autograd.grad(part, list(leaves.values()), trial.tensor(d_part).to(part.dtype), allow_unused=True)
    shares = _SHARES[words](case.head)
    d_weights = d_part[:, None] * shares[:, None, None]
    by_name = {of[0]: of for of in ties.values()}
    expected = expected_gradients(answer, by_name, None, d_weights, None, trial.precision)
    for of, gradient in zip(by_name, observed, strict=True):
        if of != "value" and not is_exact(
            np.zeros(expected[of].value.shape) if gradient is None else numbers(gradient), expected[of]
        ):
            return f"they are {words}, and the gradient of {of} through them is not"
    return ""


def _is(trial: Trial, at: int, part: Part, mask: Mask | None, *, turned: bool = False) -> bool:
    answer = trial(mask=mask)
    returned = trial.caller.items(trial.module, *trial.last_tensors)[at]
    return is_exact(numbers(returned.mT if turned else returned), part(Arithmetic(trial.precision), answer.expected.weights))


def _mean(by: Arithmetic, weights: Bounded) -> Bounded:
    heads = weights.value.shape[1]
    total = by.total(weights, 1, heads)[:, 0]
    return by.store(total.value / heads, total.error / heads)
