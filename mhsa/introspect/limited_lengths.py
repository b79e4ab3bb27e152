"""Modules that take no more positions than a mask in them has: more are asked for, where an argument says how many.

Else it is a question.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import question_text
from mhsa.introspect.calls.call_returns import returns
from mhsa.introspect.projections.bias_tables import MAY_BE_TABLE
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from mhsa.subject.construction.argument_roles import LENGTH
from mhsa.subject.subject import Subject

_LONGEST = 600  # of the cases that are always drawn (mhsa/judge/strategies.py)


class TooFewPositions(Question):
    """A module takes no more positions than a tensor that it has.

    Attributes:
        positions: how many it takes.
    """

    def __init__(self, words: str, positions: int) -> None:
        super().__init__(words)
        self.positions = positions


def with_more_positions(target: Any, request: Request, understand: Callable[[Any, Request], Subject]) -> Subject:
    """Understand an object; with more positions where an optional number of its constructor is that of those it takes.

    Raises:
        SubjectError: what ``understand`` raises.
    """
    try:
        return understand(target, request)
    except TooFewPositions as error:
        try:
            parameters = inspect.signature(target).parameters.items()
        except (TypeError, ValueError):
            raise error from None
        names = [n for n, p in parameters if type(p.default) is int and p.default == error.positions]
        if len(names) != 1 or names[0] in request.arguments:
            raise
        subject = understand(target, replace(request, arguments={**request.arguments, names[0]: LENGTH}))
        text = f"{names[0]}={LENGTH}: by default it takes no more than {error.positions} positions"
        return replace(subject, understood=(*subject.understood, Understood("constructor", text, "fitted")))


def require_lengths(module: nn.Module, d_model: int, call: Callable[[Tensor], object], *, tabled: bool = False) -> None:
    """Raise TooFewPositions if the module has a square tensor [n, n], takes n positions, and refuses n + 1.

    So it is with parameters that are tables of biases by their names, or may be the one that is declared (``tabled``): of
    pairs of places, or with a row for each distance.
    ``call`` calls the module with one tensor [B, T, d_model] as query, key and value. A module that refuses other lengths is
    judged: what it has for them cannot be seen.
    """
    for name, size in sorted({*_squares(module), *_tables(module, any_name=tabled)}, key=lambda found: found[1]):
        if size in (d_model, 1) or size >= _LONGEST or not _returns(call, size, d_model) or _returns(call, size + 1, d_model):
            continue
        words = (
            f"it takes at most {size} positions, because {name} is made for so many, and cases have up to {_LONGEST}. "
            f"Have it judged with more: let the file or the argument that says {size} say {LENGTH}, or name a factory that "
            "builds it so (def make(head, d_model): return ... in a file, verified as FILE.py:make)"
        )
        raise TooFewPositions(question_text(words), size)


def _squares(module: nn.Module) -> Iterator[tuple[str, int]]:
    for path, part in module.named_modules():
        held = {**vars(part), **dict(part.named_buffers(recurse=False))}
        for name, tensor in held.items():
            if isinstance(tensor, Tensor) and tensor.dim() >= 2 and tensor.size(-1) == tensor.size(-2):
                yield f"{path}.{name}".lstrip("."), tensor.size(-1)


def _tables(module: nn.Module, *, any_name: bool) -> Iterator[tuple[str, int]]:
    """Yield parameters that may be tables of biases, each with the positions that it may be made for: n, 2 n - 1 or n x n."""
    for path, parameter in module.named_parameters():
        if parameter.dim() < 2 or not (any_name or MAY_BE_TABLE.search(path)):
            continue
        for size in set(parameter.shape):
            yield path, size
            if size % 2:
                yield path, (size + 1) // 2


def _returns(call: Callable[[Tensor], object], length: int, d_model: int) -> bool:
    generator = torch.Generator().manual_seed(length)
    return returns(lambda: call(torch.randn(1, length, d_model, generator=generator, dtype=torch.float64)))
