"""Low-rank additions to a projection (LoRA): W x + B (A x), where the map W alone is judged, with B at zero as at the start."""

from __future__ import annotations

import re

import torch
from torch import nn

_FACTOR = re.compile(r"(^|[._])lora_?(?P<which>[ab]|up|down)(?![a-z])", re.IGNORECASE)


def low_rank_factors(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are a factor of a low-rank addition by their names, ``lora_A`` and its like."""
    return {path: p for path, p in module.named_parameters(remove_duplicate=False) if _FACTOR.search(path)}


def switch_off(module: nn.Module) -> tuple[str, ...]:
    """Set the second factors to zero, so that nothing is added, and freeze both; return the paths of all factors."""
    factors = low_rank_factors(module)
    for path, parameter in factors.items():
        found = _FACTOR.search(path)
        if found and found["which"].lower() in ("b", "up"):
            with torch.no_grad():
                parameter.zero_()
        parameter.requires_grad_(False)
    return tuple(factors)
