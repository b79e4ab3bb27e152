"""A module that can only be called in float32, because a tensor inside it is made in that dtype: called so in float64, too.

Its parameters stay in float64, where the properties read and write them; each call is given them, and its inputs, in float32,
and what it returns is turned back, so that gradients flow. The contract says ``float64_in = "float32"`` then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map


def called_in_float32(module: nn.Module, given: Mapping[str, Any]) -> Any:
    """Call a module in float64 with everything in float32; in any other dtype as it is."""
    if not any(isinstance(x, Tensor) and x.dtype == torch.float64 for x in given.values()):
        return module(**given)
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    narrow = {id(x): _turned(x, torch.float64, torch.float32) for x in given.values()}  # tied inputs stay one tensor
    kwargs = {name: narrow[id(x)] for name, x in given.items()}
    parameters = {name: _turned(x, torch.float64, torch.float32) for name, x in held.items()}
    result = functional_call(module, parameters, (), kwargs)
    return tree_map(lambda x: _turned(x, torch.float32, torch.float64), result)


def _turned(x: Any, before: torch.dtype, after: torch.dtype) -> Any:
    return x.to(after) if isinstance(x, Tensor) and x.dtype == before else x
