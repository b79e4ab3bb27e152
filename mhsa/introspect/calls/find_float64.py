"""Whether float64 data is computed in float32 inside: seen in a call, and certain only with an exact fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mhsa.introspect.calls.call_with_mask import call_with_mask, inside
from mhsa.records.contract import Contract
from mhsa.subject import check
from mhsa.subject.generic_inputs import first_sizes, generic_case
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def find_float64(subject: Subject) -> Contract:
    """Say in the contract whether float64 data is computed in float32 inside, as modules with ``.float()`` do.

    An error of float32's size is not evidence: an epsilon or a rounded constant looks like that. Some tensor of a coarser
    format must take part in the call, or a constant that the module keeps, which was made in torch's default format. And what
    is computed so in one form of call alone, without gradients say, has lost its precision there, and is not excused.
    """
    if subject.contract.float64_in is not None:
        return subject.contract
    watch = _Watch()
    answer = call_with_mask(subject, "none", watch=watch)
    if answer is None or not (watch.coarse or _keeps_constants(subject)):
        return replace(subject.contract, float64_in="float64")
    single = replace(subject.contract, float64_in="float32")
    coarse = call_with_mask(replace(subject, contract=single), "none")
    sharp = answer.expected.output
    needed = not inside(answer.output, sharp.value, sharp.error)
    if needed and coarse is not None and inside(coarse.output, coarse.expected.output.value, coarse.expected.output.error):
        return single if not _is_sharp_elsewhere(subject) else replace(subject.contract, float64_in="float64")
    return replace(subject.contract, float64_in="float64")


def _is_sharp_elsewhere(subject: Subject) -> bool:
    """Whether a call with gradients, in train mode or with a mask has float64's precision: then others have lost it."""
    for mask in [kind for kind in ("none", "padding", "all") if kind in subject.masks]:
        try:
            trial = Trial(subject, replace(generic_case(subject, mask), grad=True))
            answer = trial()
            trial.train()
            again = trial.call_again()[0]
        except (check.Violation, check.Inapplicable):
            continue
        sharp = answer.expected.output
        outputs = [answer.output, *([numbers(again)] if is_tensor(again) and again.shape == sharp.value.shape else [])]
        if any(inside(output, sharp.value, sharp.error) for output in outputs):
            return True
    return False


def _keeps_constants(subject: Subject) -> bool:
    """Whether its modules have a buffer or a frozen scalar: they were rounded before the module was turned to float64."""
    sizes = first_sizes(subject.adapter)
    module = subject.adapter.build(sizes.head, sizes.d_model)
    frozen = (p for p in module.parameters() if not p.requires_grad and p.numel() == 1)
    return any(x.is_floating_point() and x.dtype != torch.float64 for x in (*module.buffers(), *frozen))


class _Watch(TorchFunctionMode):
    """Notes whether any torch function takes or gives a floating tensor that is coarser than float64."""

    coarse = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs, result))
        self.coarse |= any(isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64 for x in leaves)
        return result
