"""What torch dispatches in a call: how many operators, and in which precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class ObservedOperators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators, and notes the first that gives numbers of fewer bits than ``dtype``; everything passes as it is."""

    supports_higher_order_operators = True

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bits = torch.finfo(dtype).bits
        self.operators = 0
        self.lower = ""

    def of(self, call: Callable[[], Any]) -> Any:
        """Make a call and return what it gives."""
        with self:
            return call()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Say that what ``torch.compile`` has made may run in here."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators += 1
        result = func(*args, **(kwargs or {}))
        lower = isinstance(result, Tensor) and result.is_floating_point() and torch.finfo(result.dtype).bits < self.bits
        if lower and not self.lower:
            self.lower = str(result.dtype).removeprefix("torch.")
        return result
