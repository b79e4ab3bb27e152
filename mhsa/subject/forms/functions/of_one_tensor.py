"""Functions of one tensor, whose tokens attend to each other without any map."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import torch

from mhsa.source.written_code import named_in, source_of
from mhsa.subject.forms.functions.sizes_of_file import SizesOfFile
from mhsa.subject.returned import listed

_CALLED = re.compile("attention|attn|attend|mhsa", re.IGNORECASE)
_WEIGHS = re.compile(r"softmax|\bexp\b|scaled_dot_product", re.IGNORECASE)
_WIDTH = 5
_ROUNDING = 1e-3  # also where it computes in float32


def attends_to_itself(function: Callable[..., Any], sizes: SizesOfFile | None) -> bool:
    """Whether a function takes one tensor, and gives one of its shape in which the tokens of each sample depend on each other.

    It must be called an attention, and its source or what it calls of its file must have a softmax. One head without maps
    knows of its features by their products alone: where all tokens are turned, so is what it gives. Another kind of function,
    an attention to channels say, is none, and must not be called wrong.
    """
    return is_called_so(function) and _mixes_tokens(function, sizes)


def is_called_so(function: Callable[..., Any]) -> bool:
    """Whether a function of one tensor is called an attention, and has a softmax."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(needed) != 1 or any(p.kind is p.POSITIONAL_ONLY for p in parameters) or not _CALLED.search(function.__name__):
        return False
    with contextlib.suppress(OSError, TypeError):
        written = inspect.unwrap(function)
        return any(_WEIGHS.search(source_of(each)) for each in (written, *named_in(written)))
    return False


@torch.random.fork_rng(devices=[])
def _mixes_tokens(function: Callable[..., Any], sizes: SizesOfFile | None) -> bool:
    x = torch.randn(2, 3, sizes.d_model if sizes else _WIDTH, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(x.size(-1), x.size(-1), dtype=torch.float64))[0]
    other = x.clone()
    other[0, 0] += 1
    with contextlib.suppress(Exception), torch.no_grad():
        one, two, turned = (listed(function(given))[0] for given in (x.clone(), other, x @ turn))
        apart = sizes is not None and sizes.head > 1  # heads are turned each by itself
        features_alike = apart or torch.allclose(one @ turn, turned, rtol=_ROUNDING, atol=_ROUNDING)
        return one.shape == x.shape and not torch.equal(one[0, 1:], two[0, 1:]) and features_alike
    return False
