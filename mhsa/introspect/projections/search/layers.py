"""Which layers of torch a parameter is of: a linear one, whose axes are known, or a norm, which is no map."""

from __future__ import annotations

import re

from torch import nn

_NORM = re.compile("norm", re.IGNORECASE)
_CALLED_NORM = re.compile(r"norm|(?<![a-z])ln(?![a-z])", re.IGNORECASE)


def is_linear(module: nn.Module) -> bool:
    """Whether a layer maps the features of each token alone, with a weight [out, in] (and axes of size 1)."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return module.groups == 1 and all(size == 1 for size in module.kernel_size)
    return isinstance(module, nn.Linear) or getattr(module, "original_name", "") == "Linear"  # the latter is compiled


def is_norm(part: nn.Module) -> bool:
    """Whether a part is a norm, by the name of its class."""
    return bool(_CALLED_NORM.search(type(part).__name__))


def weights_of_linears(module: nn.Module) -> set[str]:
    """Return the paths of the weights of linear layers."""
    return {f"{path}.weight" for path, part in module.named_modules(remove_duplicate=False) if is_linear(part)}


def parameters_of_norms(module: nn.Module) -> set[str]:
    """Return the paths of parameters of norms: a norm in ``output`` is not an out projection, though its path says so."""
    norms = [(path, part) for path, part in module.named_modules(remove_duplicate=False) if _NORM.search(type(part).__name__)]
    return {f"{path}.{name}" for path, part in norms if path for name, _ in part.named_parameters(recurse=False)}
