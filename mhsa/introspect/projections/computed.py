"""Maps that are computed from parameters: torch's parametrizations, weight_norm, spectral_norm, layers with more parameters.

Their matrices can be read, so that the oracle judges what is done with them; a property that would write one is not applicable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize


@dataclass(frozen=True)
class Computed:
    """One matrix or vector of one module.

    Attributes:
        make: gives its numbers as they are now.
        sources: paths of the parameters that it is computed from.
        fixed: why it cannot be set to any numbers, for a property that would.
        put: sets the parameters so that ``make`` gives these numbers, where some do; returns whether it could.
    """

    make: Callable[[], Tensor]
    sources: tuple[str, ...]
    fixed: str
    put: Callable[[Tensor], bool] = lambda values: False


def computed_tensors(module: nn.Module) -> Iterator[tuple[str, Computed]]:
    """Yield the tensors of a module that are computed from parameters in every call, by the paths they are used under."""
    for path, part in module.named_modules(remove_duplicate=False):
        at = f"{path}." if path else ""
        if parametrize.is_parametrized(part):
            for name, chain in part.parametrizations.items():
                sources = tuple(f"{at}parametrizations.{name}.{n}" for n, _ in chain.named_parameters())
                kinds = ", ".join(type(step).__name__ for step in chain)
                yield f"{at}{name}", Computed(_attribute(part, name), sources, f"it is computed ({kinds})")
        elif isinstance(part, nn.Linear) and set(part._parameters) > {"weight", "bias"}:
            yield from _of_layer(at, part)
        for hook in part._forward_pre_hooks.values():
            name = getattr(hook, "name", None)
            if isinstance(name, str) and callable(getattr(hook, "compute_weight", None)):
                sources = tuple(f"{at}{n}" for n, _ in part.named_parameters(recurse=False) if n.startswith(f"{name}_"))
                yield f"{at}{name}", Computed(_recomputed(hook, part), sources, f"it is computed ({type(hook).__name__})")


def _of_layer(at: str, part: nn.Linear) -> Iterator[tuple[str, Computed]]:
    """Yield weight and bias of a linear layer with further parameters: what it makes of unit vectors and of 0."""
    sources = tuple(f"{at}{n}" for n, _ in part.named_parameters(recurse=False))
    fixed = f"it is computed ({type(part).__name__})"

    def weight() -> Tensor:
        alone = {} if part.bias is None else {"bias": torch.zeros_like(part.bias)}
        units = torch.eye(part.in_features, dtype=part.weight.dtype, device=part.weight.device)
        found: Tensor = functional_call(part, alone, (units,))
        return found.T

    def bias() -> Tensor:
        found: Tensor = part(torch.zeros(part.in_features, dtype=part.weight.dtype, device=part.weight.device))
        return found

    yield f"{at}weight", Computed(weight, sources, fixed)
    if part.bias is not None:
        yield f"{at}bias", Computed(bias, sources, fixed)


def _attribute(part: nn.Module, name: str) -> Callable[[], Tensor]:
    def make() -> Tensor:
        found: Tensor = getattr(part, name)
        return found

    return make


def _recomputed(hook: Any, part: nn.Module) -> Callable[[], Tensor]:
    """Return what recomputes the attribute of torch's older functions, which holds what the last call computed."""
    iterates = "n_power_iterations" in vars(hook)  # spectral_norm, whose vectors move in training alone

    def make() -> Tensor:
        found: Tensor = hook.compute_weight(part, do_power_iteration=False) if iterates else hook.compute_weight(part)
        return found

    return make
