"""Parameters of a module that are no maps of the attention: they take no gradients, or are constants."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn


def freeze(module: nn.Module, paths: Collection[str]) -> nn.Module:
    """Return the module, of which parameters with these names take no gradients."""
    for path, parameter in module.named_parameters(remove_duplicate=False):
        if path in paths:
            parameter.requires_grad_(False)
    return module


def as_buffers(module: nn.Module, paths: Collection[str]) -> nn.Module:
    """Return the module, of which parameters with these names are buffers of the same numbers."""
    for path in paths:
        owner, _, name = path.rpartition(".")
        part = module.get_submodule(owner)
        held = getattr(part, name).detach()
        delattr(part, name)
        part.register_buffer(name, held)
    return module
