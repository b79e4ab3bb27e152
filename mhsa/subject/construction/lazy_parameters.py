"""Lazy parameters, nn.LazyLinear's for example, which have no sizes until a first call: one call gives them."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import is_lazy

from mhsa.records.understood import Understood
from mhsa.subject.construction.built_sizes import runs

SAID = Understood("constructor", "lazy parameters get their sizes from one call, before anything is judged", "named")


def has_lazy(module: nn.Module) -> bool:
    """Whether a module has a parameter or a buffer without a size."""
    # Without names, which cost more than all else here: a module is built for every case.
    kept = (x for part in module.modules() for x in (*part._parameters.values(), *part._buffers.values()))
    return any(x is not None and is_lazy(x) for x in kept)


def give_sizes(module: nn.Module, d_model: int) -> bool:
    """Call a module with lazy parameters once, with random [B, T, d_model]; return whether it had any.

    The state of the random generator stays as it was. Where no call returns, the parameters stay lazy.
    """
    lazy = has_lazy(module)
    if lazy:
        runs(module, d_model)
    return lazy
