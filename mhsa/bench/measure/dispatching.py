"""Operators that torch dispatches in a call, and their floating point operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_TENSORS = {torch.Tensor, torch.nn.Parameter}
_WITHOUT_PRODUCTS = ("aten", "prim", "prims", "profiler")  # torch's own; of these, one without a formula needs none


def in_parts(mode: TorchDispatchMode, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """Give an operator that is made of others back to the dispatcher as those; NotImplemented if it is none."""
    if not (set(types) <= _TENSORS and isinstance(func, torch._ops.OpOverload)):
        return NotImplemented
    with mode:
        return func.decompose(*args, **kwargs)


class Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch dispatches and its floating point operations, and lets it pass.

    It has torch's formulas from :class:`FlopCounterMode` but does not enter that. Its hooks on modules fail on a leaf in
    inference mode, and what ``torch.compile`` has made runs uncompiled for good once it was called inside of a mode that
    does not say :meth:`ignore_compile_internals`.
    """

    supports_higher_order_operators = True  # flex_attention is one

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        aten = torch.ops.aten
        # Torch has formulas for the kernels of attention on a GPU, and none for these, which stand for it on a CPU.
        missing = {
            aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
            aten._native_multi_head_attention: _module_flops,  # torch.nn.MultiheadAttention's way without gradients
        }
        self.formulas = FlopCounterMode(display=False, custom_mapping=missing).flop_registry
        self.operators = 0
        self.flops: int | None = 0

    def by(self, call: Callable[[], object]) -> tuple[int, int | None]:
        """Return the operators and flops of a call."""
        with self:
            call()
        return self.operators, self.flops

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Say that what ``torch.compile`` has made may run in here."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        plain = set(types) <= _TENSORS  # a subclass takes operators apart by itself, and we do not see into which
        made = in_parts(self, func, types, args, kwargs)
        if made is not NotImplemented:
            return made
        self.operators += 1
        result = func(*args, **kwargs)
        if self.flops is not None:
            self.flops = self._more(self.flops, func, args, kwargs, result) if plain else None
        return result

    def _more(self, flops: int, func: Any, args: Any, kwargs: Any, result: Any) -> int | None:
        """Flops with this operator's; None if it is not known what is inside."""
        formula = self.formulas.get(getattr(func, "_overloadpacket", func))
        if formula is None:
            return flops if getattr(func, "namespace", "") in _WITHOUT_PRODUCTS else None
        try:
            return int(flops + formula(*args, **kwargs, out_val=result))
        except Exception:  # a formula for other arguments than these
            return None


def _attention_flops(query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    """Flops of attention's two products, from shapes (B, H, T, d_k): the scores, and the weights times the values."""
    batch, head, length, d_k = query
    return 2 * batch * head * length * key[2] * (d_k + value[3])


def _attention_backward_flops(grad: list[int], query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    """Flops of its backward pass' five: the scores again, and the gradients of weights, values, queries and keys."""
    batch, head, length, d_k = query
    return 2 * batch * head * length * key[2] * (3 * d_k + 2 * value[3])


def _module_flops(query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    """Flops of a whole multi-head attention, from shapes (B, T, d_model): four projections, and attention."""
    batch, length, width = query
    return 2 * batch * width * ((2 * length + key[1] + value[1]) * width + 2 * length * key[1])
