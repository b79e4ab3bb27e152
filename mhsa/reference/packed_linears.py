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


def is_plain(layer: nn.Module) -> bool:
    """Whether calling a layer does what ``nn.Linear`` does: no other class, no hooks of its own, no own forward."""
    own = layer.__dict__
    return (
        type(layer) is nn.Linear
        and "forward" not in own
        and not (own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"])
    )


def apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Return ``layer(x)``."""
    if is_plain(layer) and not _has_any_global_hook():  # type: ignore[no-untyped-call]
        parameters = layer._parameters
        return functional.linear(x, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]
    result: Tensor = layer(x)
    return result


# Elements of the weights together. On a CPU one product pays where starting three costs something; where its weights are too
# large for a cache of megabytes, three are as fast or faster (d_model 1024: 6 % in docs/performance.md's "wide").
_PAYS = 2**20
# The same where gradients are wanted, and the weights are put together in each call: of the time of forward and backward pass
# together 0.86 are left at d_model 64, 0.90 to 0.99 at 256, and at 512 it is 1.02 to 1.16.
_PAYS_IN_TRAINING = 2**18


class Packed:
    """The parameters of several ``nn.Linear`` in one stretch of memory each, weights and biases.

    They stay parameters of their own, with their values; this holds views of all of them together.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        """Move the parameters of layers of one shape.

        Raises:
            ValueError: one is not a plain dense parameter (but missing, quantised, sharded, on the meta device, ...).
        """
        self.weight = self._together(linears, "weight")
        self.bias = self._together(linears, "bias")
        on_cpu = self.weight.device.type == "cpu"
        self.pays = not on_cpu or self.weight.numel() <= _PAYS
        self.pays_in_training = on_cpu and self.weight.numel() <= _PAYS_IN_TRAINING  # elsewhere it was not measured
        self._places = [(linear.weight, linear.weight.data_ptr(), linear.bias, linear.bias.data_ptr()) for linear in linears]

    def _together(self, linears: Sequence[nn.Linear], name: str) -> Tensor:
        parts = [linear._parameters.get(name) for linear in linears]
        plain = [p for p in parts if type(p) is nn.Parameter and p.layout == torch.strided and not p.is_meta]
        if len(plain) < len(parts) or len({(p.dtype, p.device, p.shape) for p in plain}) > 1:
            raise ValueError(f"these have no {name} of one shape, dtype and device each")
        together = torch.stack([p.data for p in plain])
        for parameter, place in zip(plain, together, strict=True):
            parameter.data = place
        return together.flatten(0, 1)

    def project(self, linears: Sequence[nn.Module], x: Tensor) -> Tensor | None:
        """Return what these layers give for ``x``, side by side; None where that is not to be had by one product.

        Not where somebody has replaced a parameter, added hooks or put another layer in. Where gradients are wanted, the
        parameters are put together as they are now: autograd does not see that the views are made of them. Else they must
        not have been moved. The memory cannot have been given to something else meanwhile: it is held here.
        """
        grad = torch.is_grad_enabled()
        if not (self.pays_in_training if grad else self.pays) or _has_any_global_hook():  # type: ignore[no-untyped-call]
            return None
        for linear, (weight, of_weight, bias, of_bias) in zip(linears, self._places, strict=True):
            parameters = linear._parameters
            if not is_plain(linear) or parameters["weight"] is not weight or parameters["bias"] is not bias:
                return None
            if not grad and (weight.data_ptr() != of_weight or bias.data_ptr() != of_bias or not weight.is_contiguous()):
                return None
        if not grad:
            return functional.linear(x, self.weight, self.bias)
        weights, _, biases, _ = zip(*self._places, strict=True)
        return functional.linear(x, torch.cat(weights), torch.cat(biases))
