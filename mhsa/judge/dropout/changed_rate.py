"""A rate that is changed after building: where it counts in one way to call, it must in all of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from mhsa.judge.dropout.dropped_weights import MOST_SITES, by_head, rounding, uniform
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject

# A rate, and another one that it is changed to. Nothing else in a module is 0.7: no scale is, as d_k is whole. Weights that
# were scaled up by one of them once to three times, or by both, are told apart by their sizes.
_FIRST, _LATER = 0.7, 0.25
_NEARLY = 1e-6  # by which a rate in float32 is off, or a computed one


def require_changed_rate(subject: Subject, case: Case) -> None:
    """Fail unless a rate that was changed after building counts in every way to call, if it does in one of them."""
    trial, inputs = uniform(subject, case, _FIRST)
    if not _change_rates(trial.module):
        return
    everything = np.ones((trial.case.batch, inputs[0].shape[1], inputs[1].shape[1]), bool)
    masks: list[Mask | None] = [None]
    if "all" in subject.masks and subject.caller.can_express(torch.tensor(everything)):
        masks.append(everything)
    asked = (True, False) if subject.adapter.weights_on_request else (trial.case.need_weights,)
    found = []
    for mask, wanted, grad in itertools.product(masks, asked, (True, False)):
        trial.case = trial.case.resized(need_weights=wanted, grad=grad)
        answer = trial(*inputs, mask=mask)
        weights = by_head(answer.output, trial.case.head)
        seen = np.ones(weights.shape, bool) if answer.mask is None else np.broadcast_to(answer.mask[:, None], weights.shape)
        kept = (weights * seen.sum(axis=-1, keepdims=True))[seen]
        words = ["with gradients" if grad else "without gradients"]
        words += ["under a mask" if mask is not None else "without a mask"] if len(masks) > 1 else []
        words += ["with weights" if wanted else "without weights"] if len(asked) > 1 else []
        found.append((" ".join(words), kept, _scaled_by(kept, rounding(subject, case, weights))))
    follows = next((way for way, _, times in found if times is not None and times[0] == 0 and times[1]), "")
    for way, kept, times in found:
        if times is None or not sum(times):
            continue
        first, later = times
        if follows and first:
            check.fail(f"a rate that is changed from {_FIRST} to {_LATER} counts {follows}, but not {way}", what="dropout")
        left = (1 - _FIRST) ** first * (1 - _LATER) ** later
        check.count_as_expected(
            f"weights dropped {way} after the rate was changed", int((kept == 0).sum()), kept.size, 1 - left
        )


def _change_rates(module: nn.Module) -> bool:
    """Change each rate in a module that was built with the first one; return whether all that hold one could be changed.

    Those are p of nn.Dropout and whatever public numbers of parts are the rate or what it leaves. Where something else holds
    them nothing is asked: a configuration may be shared with other modules, a factor is computed once, and a number of a part's
    own next to a layer may be meant to stay.
    """
    numbers_of = {_FIRST: _LATER, 1.0 - _FIRST: 1.0 - _LATER}
    layers = any(isinstance(part, nn.Dropout) for part in module.modules())
    changed = []
    for part in module.modules():
        for name, x in vars(part).items():
            if isinstance(x, float) and x in numbers_of and not (layers and name.startswith("_")):
                changed += [] if name.startswith("_") else [(part, name, numbers_of[x])]
            elif any(abs(y - z) < _NEARLY for y in _numbers_in(x) for z in (_FIRST, 1 - _FIRST, 1 / (1 - _FIRST))):
                return False
    return all(attempt(functools.partial(setattr, *change))[0] is not None for change in changed)


def _numbers_in(x: object) -> Iterator[float]:
    """Yield the numbers that something holds: a container, an object, a function with given arguments, a tensor of one."""
    if isinstance(x, float):
        yield x
    elif isinstance(x, torch.Tensor):
        yield from [float(x)] if x.numel() == 1 and x.is_floating_point() and not x.is_meta else []
    elif isinstance(x, functools.partial):
        yield from _numbers_in([*x.args, *x.keywords.values()])
    elif isinstance(x, (dict, list, tuple, set)):
        for y in x.values() if isinstance(x, dict) else x:
            yield from _numbers_in(y)
    elif not isinstance(x, (nn.Module, type)) and hasattr(x, "__dict__"):
        yield from (y for y in vars(x).values() if isinstance(y, float))


def _scaled_by(kept: Array, tolerance: float) -> tuple[int, int] | None:
    """Return how often weights of 1 were scaled up by the first rate and by the later one; None where they were otherwise."""
    left = kept[kept != 0]
    for first, later in itertools.product(range(MOST_SITES + 1), repeat=2):
        scale = (1 - _FIRST) ** -first * (1 - _LATER) ** -later
        if first + later <= MOST_SITES and (np.abs(left - scale) <= tolerance * scale).all():
            return first, later
    return None
