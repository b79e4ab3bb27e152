"""Where a function on [B, H, T, d] returns its output and its weights, by their shapes: sizes that differ tell them apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.reference.core_slot import fit_slot
from mhsa.subject.returned import listed


def places_of_values(function: Callable[..., Any]) -> tuple[int, int | None] | None:
    """Return the places of output and weights among the values that a function returns; None for Z alone or (Z, A)."""
    query, key, value = torch.zeros(2, 4, 3, 7), torch.zeros(2, 4, 11, 7), torch.zeros(2, 4, 11, 7)
    seen: list[Any] = []

    class Watched:
        __wrapped__ = staticmethod(function)  # where inspect.signature looks for the names of its parameters
        __name__ = getattr(function, "__name__", repr(function))

        def __call__(self, **named: Any) -> Tensor:
            seen.append(function(**named))
            return query

    with contextlib.suppress(Exception):  # the properties will meet it again and report it
        fit_slot(Watched())(query, key, value, nn.Dropout(0.0), None)
    if not seen or isinstance(seen[0], Tensor):
        return None
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else None for x in listed(seen[0])]
    if tuple(query.shape) not in shapes:
        return None
    output, of_weights = shapes.index(tuple(query.shape)), (2, 4, 3, 11)
    weights = shapes.index(of_weights) if of_weights in shapes else None
    usual = isinstance(seen[0], tuple) and len(shapes) == 2 and output == 0
    return None if usual else (output, weights)
