"""A module with generic numbers in all its parameters, on which a call shows what each of them does."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from mhsa.records.errors import SubjectError
from mhsa.subject.adapters.adapter import in_eval_mode


def randomised(module: nn.Module, name: str) -> nn.Module:
    """Fill with generic numbers: parameters that start at zero would hide what they do; frozen scalars are constants.

    Returns:
        The module itself, on the CPU, in float64 and in eval mode.

    Raises:
        SubjectError: it has lazy parameters without sizes.
    """
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
        # A class or a factory has been called once already, and every call raised.
        raise SubjectError(f"{name} has lazy parameters without sizes; name a factory that calls it once before returning it")
    module = in_eval_mode(module.to(device="cpu", dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    trained = [p for p in module.parameters() if p.requires_grad or p.numel() > 1]
    with torch.no_grad():
        for parameter in trained:
            size = parameter.size(-1) ** 0.5 if parameter.dim() > 1 else 1.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / size)
    for parameter in trained:
        parameter.requires_grad_(True)
    return module
