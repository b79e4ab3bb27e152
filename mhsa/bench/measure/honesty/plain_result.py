"""Whether what leaves a timed call is computed: a plain tensor with numbers of its own, and nothing that is evaluated later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_PLAIN = (Tensor, torch.nn.Parameter)


def hidden_form(result: Any, device: str) -> str:
    """Return in words what a result of a call is instead of a plain tensor on its device; empty if it is one.

    A subclass can leave its numbers to be computed when somebody looks at them, and only its type says so.
    """
    for part in result if isinstance(result, (tuple, list)) else (result,):
        if part is None:
            continue
        kind = type(part)
        if kind not in _PLAIN:
            of = "a subclass of Tensor: its numbers may be computed later" if issubclass(kind, Tensor) else "not a tensor"
            return f"a call gives {kind.__name__}, {of}"
        if part.device.type != torch.device(device).type:
            return f"a call gives a tensor on {part.device.type}, not on {device}"
        if part.numel() and not part.untyped_storage().data_ptr():
            return "a call gives a tensor without memory: its numbers would have to be computed later"
    return ""
