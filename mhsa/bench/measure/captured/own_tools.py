"""Timers and functions of torch that measuring uses: taken when this file is imported, before any subject is loaded.

A subject that replaces one of them replaces it for others: what is timed is timed by these. :func:`replaced` says that it did.
"""

from __future__ import annotations

import os
import time
from types import FunctionType
from typing import Any

import torch
from torch.nn import functional

now = time.perf_counter
sleep = time.sleep
read_at = os.pread
gradients_of = torch.autograd.grad
linear = functional.linear
scaled_dot_product_attention = functional.scaled_dot_product_attention
gpu_event: Any = torch.cuda.Event
gpu_synchronize = torch.cuda.synchronize
gpu_sleep: Any = torch.cuda._sleep  # a kernel that waits for a number of cycles

_NAMES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (time, ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "thread_time", "time", "sleep")),
    (os, ("pread", "open", "getpid")),
    (torch.autograd, ("grad", "backward")),
    (functional, ("linear", "scaled_dot_product_attention", "softmax")),
    (torch, ("matmul", "bmm", "softmax", "set_grad_enabled", "no_grad", "is_grad_enabled", "tensor", "equal")),
    (torch.cuda, ("Event", "synchronize")),
    (torch.Tensor, ("copy_", "clone", "detach", "matmul", "numpy", "to", "data_ptr", "backward", "index_select")),
)
_THERE: tuple[tuple[Any, str, Any], ...] = tuple(
    (owner, name, getattr(owner, name)) for owner, names in _NAMES for name in names if hasattr(owner, name)
)


def replaced() -> list[str]:
    """Return the names of what is not any more what it was, and put it back."""
    found = []
    for owner, name, tool in _THERE:
        there = getattr(owner, name, None)
        if there is not tool and not _is_torchs_own(there):
            setattr(owner, name, tool)
            found.append(f"{owner.__name__}.{name}")
    return found


def _is_torchs_own(tool: Any) -> bool:
    """Whether torch has replaced a function of its own, as it does when its compiler is first used."""
    return isinstance(tool, FunctionType) and (tool.__module__ or "").partition(".")[0] == "torch"
