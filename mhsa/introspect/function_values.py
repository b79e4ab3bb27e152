"""Where a function on [B, H, T, d] returns output, weights and log-sum-exp, by their shapes in a call whose sizes differ."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.conventions.values import Layout
from mhsa.records.names import WANT_WEIGHTS, is_called
from mhsa.reference.core_slot import fit_slot
from mhsa.subject.forms.arranged_function import Places
from mhsa.subject.forms.heads_function import HeadsFunction
from mhsa.subject.forms.mask_conversion import MaskForm
from mhsa.subject.returned import LSE_FORMS, listed

# By layout: shapes of the output and of the weights for B, H, Tq, Tk, d = 2, 4, 3, 11, 7.
_SHAPES: dict[Layout, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "BHTD": ((2, 4, 3, 7), (2, 4, 3, 11)),
    "BTHD": ((2, 3, 4, 7), (2, 4, 3, 11)),
    "(BH)TD": ((8, 3, 7), (8, 3, 11)),
    "BHDT": ((2, 4, 7, 3), (2, 4, 3, 11)),
    "BDHT": ((2, 7, 4, 3), (2, 4, 3, 11)),
}
HEADS = (4, 7)  # H and d
_OF = {"B": 2, "H": 4, "Tq": 3, "B*H": 8, "1": 1}
_LOGARITHMS = [tuple(_OF[axis] for axis in form) for form in LSE_FORMS]


def places_of_values(function: Callable[..., Any], mask: str = "") -> Places | None:
    """Return the places of output, weights and log-sum-exp among what a function returns; None for Z alone or (Z, A).

    ``mask`` is the name of the parameter for the mask, if there is one. The first layout in which it can be called counts.
    """
    for layout, (of_output, of_weights) in _SHAPES.items():
        result = _called(function, layout, mask)
        if result is None:
            continue
        if isinstance(result, Tensor):
            return None
        shapes = [tuple(x.shape) if isinstance(x, Tensor) else None for x in listed(result)]
        if of_output not in shapes:
            continue
        output = shapes.index(of_output)
        weights = shapes.index(of_weights) if of_weights in shapes else None
        logarithm = next((n for n, shape in enumerate(shapes) if shape in _LOGARITHMS and n not in (output, weights)), None)
        usual = isinstance(result, tuple) and len(shapes) == 2 and output == 0 and logarithm is None
        return None if usual else (output, weights, logarithm)
    return None


def switches_of_weights(function: Callable[..., Any]) -> list[str]:
    """Return the parameters of a function that are off by default, and have it return its weights, by their names."""
    parameters = inspect.signature(function).parameters
    return [n for n, p in parameters.items() if p.default is False and is_called(n, WANT_WEIGHTS)]


def can_be_called(function: Callable[..., Any], mask: str) -> bool:
    """Whether a function can be called with heads in some layout; ``mask`` is the name of its parameter for the mask."""
    return any(_called(function, layout, mask) is not None for layout in _SHAPES)


def _called(function: Callable[..., Any], layout: Layout, mask: str) -> Any:
    """Return what a function gives for heads in a layout; None where it raises."""
    query, key, value = torch.zeros(2, 4, 3, 7), torch.zeros(2, 4, 11, 7), torch.zeros(2, 4, 11, 7)
    seen: list[Any] = []

    class Watched:
        __wrapped__ = staticmethod(function)  # where inspect.signature looks for the names of its parameters
        __name__ = getattr(function, "__name__", repr(function))

        def __call__(self, **named: Any) -> Any:
            seen.append(function(**named))
            raise LookupError("it has been seen")  # what follows in the slot does not matter

    with contextlib.suppress(Exception):  # the properties will raise it again and report it
        fit_slot(HeadsFunction(Watched(), layout, MaskForm(), mask))(query, key, value, nn.Dropout(0.0), None)
    return seen[0] if seen else None
