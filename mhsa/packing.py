"""Linear layers without the overhead of calling them, and several of them as one matrix product.

In a small module, calling an ``nn.Linear`` costs more than what it computes. Where a layer is nothing but its weight and bias,
they are read and multiplied directly; where anybody has changed what a call does, it is called.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_plain(layer: nn.Module) -> bool:
    """Whether calling a layer does what ``nn.Linear`` does, and nothing else: no other class, no hooks, no own forward."""
    own = layer.__dict__
    return (
        type(layer) is nn.Linear
        and "forward" not in own
        and not any(map(own.__getitem__, _HOOKS))
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Return ``layer(x)``."""
    if is_plain(layer):
        parameters = layer._parameters
        return functional.linear(x, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]
    result: Tensor = layer(x)
    return result


class Packed:
    """The parameters of several ``nn.Linear`` in one stretch of memory each, weights and biases.

    They stay parameters of their own, with their values; this holds views of all of them together.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        """Move the parameters of layers of one shape.

        Raises:
            ValueError: one is not a plain dense parameter (but missing, quantised, sharded, on the meta device, ...).
        """
        self._parameters: list[tuple[str, nn.Parameter, int]] = []
        self.weight, self.bias = (self._together(linears, name) for name in ("weight", "bias"))

    def _together(self, linears: Sequence[nn.Linear], name: str) -> Tensor:
        parts = [linear._parameters.get(name) for linear in linears]
        plain = [p for p in parts if type(p) is nn.Parameter and p.layout == torch.strided and not p.is_meta]
        if len(plain) < len(parts) or len({(p.dtype, p.device, p.shape) for p in plain}) > 1:
            raise ValueError(f"these have no {name} of one shape, dtype and device each")
        together = torch.stack([p.data for p in plain])
        for parameter, place in zip(plain, together, strict=True):
            parameter.data = place
            self._parameters.append((name, parameter, place.data_ptr()))
        return together.flatten(0, 1)

    def stand_for(self, linears: Sequence[nn.Module]) -> bool:
        """Whether calling these layers would still be the same as multiplying by ``weight`` and adding ``bias``.

        Not after a parameter was replaced or moved, nor where somebody has added hooks or put another layer in. The memory
        cannot have been given to something else meanwhile: it is held here.
        """
        for linear in linears:
            if not is_plain(linear):
                return False
        for n, (name, parameter, place) in enumerate(self._parameters):
            now = linears[n % len(linears)]._parameters[name]
            if now is not parameter or now.data_ptr() != place or not now.is_contiguous():
                return False
        return True
