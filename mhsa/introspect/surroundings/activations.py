"""Activations between the maps of queries, keys and values and the scores, which plain attention does not have.

One call's operations are followed on their own thread: an activation that is given what a linear map gave, before any product
of two activations, is not applied. Whether that is attention is for others to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from mhsa.introspect.surroundings.operations import (
    ACTIVATIONS,
    DROPOUTS,
    PRODUCTS,
    RESHAPINGS,
    WHOLE_ATTENTIONS,
    adds_a_bias,
    mapped,
    tensors_in,
)


def _keeps(name: str, operands: list[Tensor]) -> bool:
    """Whether an operation leaves what a linear map gave what it is."""
    return name in RESHAPINGS or name in DROPOUTS or adds_a_bias(name, operands)


class WithoutActivations(TorchFunctionMode):
    """Leaves out the activations of one call; ``left`` are their names, in the order in which they first come."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []
        self._seen: list[Any] = []  # so that no other tensor gets the id of one of them
        self._mapped: set[int] = set()  # what linear maps gave, reshaped
        self._attended: set[int] = set()  # what comes from a product of activations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        operands = list(tensors_in((*args, *kwargs.values())))
        if name in ACTIVATIONS and operands and id(operands[0]) in self._mapped:
            self.left.append(name.rstrip("_"))
            return operands[0]
        gave = func(*args, **kwargs)
        self._seen.append((operands, gave))
        made = {id(x) for x in tensors_in((gave,))}
        maps = mapped(name, operands) is not None
        product = not maps and ((name in PRODUCTS and len(operands) == 2) or name in WHOLE_ATTENTIONS)
        if product or any(id(x) in self._attended for x in operands):
            self._attended |= made
        elif maps or (_keeps(name, operands) and any(id(x) in self._mapped for x in operands)):
            self._mapped |= made
        return gave


def without_activations(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make a call without them."""
    with WithoutActivations():
        return call(*args, **kwargs)


def activations_of(call: Callable[[], Any]) -> tuple[str, ...]:
    """Return the names of those that a call applies."""
    with WithoutActivations() as followed:
        call()
    return tuple(dict.fromkeys(followed.left))
