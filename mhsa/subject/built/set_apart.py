"""Parameters of a module that are no maps of the attention: they take no gradients, or are constants."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn


def freeze(module: nn.Module, paths: Collection[str]) -> nn.Module:
    """Return the module, of which parameters with these names take no gradients."""
    for path, parameter in module.named_parameters(remove_duplicate=False):
        if path in paths:
            parameter.requires_grad_(False)
    return module


def as_buffers(module: nn.Module, factors: Mapping[str, float]) -> nn.Module:
    """Return the module, of which parameters with these names are buffers of the same numbers, times the factor of each."""
    for path, factor in factors.items():
        owner, _, name = path.rpartition(".")
        part = module.get_submodule(owner)
        held = getattr(part, name).detach()
        delattr(part, name)
        part.register_buffer(name, held if factor == 1 else factor * held)
    return module
