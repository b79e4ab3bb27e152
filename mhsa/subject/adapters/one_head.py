"""Functions on one head of one sample, [T, d]: they are called for each head of each sample alone."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter


def each_head_alone(adapter: FunctionAdapter) -> FunctionAdapter:
    """Return the adapter of a function that takes query, key and value [T, d], and a mask [Tq, Tk]."""
    other = copy.copy(adapter)
    other.function = _for_each_head(adapter.function)
    other.said = (*adapter.said, Understood("call", "takes one head of one sample, [T, d]: each is given alone", "fitted"))
    other.contract = adapter.contract
    return other


def _for_each_head(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of one head as one of [B, H, T, d]."""

    @functools.wraps(function)
    def called(**named: Any) -> Any:
        sizes = next(x.shape[:2] for x in named.values() if isinstance(x, Tensor) and x.dim() == 4)
        answers = [
            function(**{name: _of(x, sample, head) for name, x in named.items()})
            for sample, head in itertools.product(*map(range, sizes))
        ]
        if isinstance(answers[0], tuple):
            return tuple(_together(list(each), sizes) for each in zip(*answers, strict=True))
        return _together(answers, sizes)

    return called


def _of(x: Any, sample: int, head: int) -> Any:
    """Return what one head of one sample is given of heads or of masks; a mask may be the same for all of them."""
    if not isinstance(x, Tensor) or x.dim() not in (3, 4):
        return x
    of_sample = x[sample if x.size(0) > 1 else 0]
    return of_sample if x.dim() == 3 else of_sample[head if x.size(1) > 1 else 0]


def _together(answers: list[Any], sizes: torch.Size) -> Any:
    if not all(isinstance(x, Tensor) for x in answers):
        return answers[0]
    return torch.stack(answers).reshape(*sizes, *answers[0].shape)
