"""Dropouts whose rate the constructor does not set, as that of a core with a default of its own, next to one that it sets."""

from __future__ import annotations

from torch import nn


def rates(module: nn.Module) -> dict[str, float]:
    """Return the rate of each ``nn.Dropout``, by its path."""
    return {path: part.p for path, part in module.named_modules() if isinstance(part, nn.modules.dropout._DropoutNd)}


def fixed_dropouts(module: nn.Module, other: nn.Module) -> tuple[str, ...]:
    """Return the paths of dropouts that are on and the same in two modules built with different rates; none where all are so.

    A constructor whose rate sets none at all is wrong, and nothing is said of it here.
    """
    first, second = rates(module), rates(other)
    fixed = tuple(path for path, rate in first.items() if rate and second.get(path) == rate)
    return fixed if any(path in second and second[path] != rate for path, rate in first.items()) else ()


def set_fixed(module: nn.Module, other: nn.Module, rate: float) -> None:
    """Give the dropouts of a module that its constructor does not set the rate that the others have."""
    for path in fixed_dropouts(module, other):
        part = module.get_submodule(path)
        assert isinstance(part, nn.modules.dropout._DropoutNd)
        part.p = rate
