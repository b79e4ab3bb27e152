"""Whether a call can be made at all: what a subject takes is found by trying, and what raises is not taken."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mhsa.subject.caller import Caller


def returns(call: Callable[[], object]) -> bool:
    """Whether ``call`` returns, without gradients; whatever it raises says that it is not taken so."""
    with torch.no_grad(), contextlib.suppress(Exception):
        call()
        return True
    return False


def returns_with_some_mask(
    caller: Caller, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *, of_keys: bool = False
) -> bool:
    """Whether a call returns without a mask, or with one of zeros or False.

    The masks are [B, 1, Tq, Tk] and [B, Tq, Tk]; with ``of_keys`` [B, Tk], too.
    """
    masks: list[Tensor | None] = [None]
    if caller.adapter.takes_mask:
        zeros = torch.zeros(query.size(0), 1, query.size(1), key.size(1), dtype=query.dtype)
        forms = (zeros, zeros[:, 0], *([zeros[:, 0, 0]] if of_keys else []))
        masks += [form for mask in forms for form in (mask, mask.bool())]
    return any(returns(functools.partial(caller, module, query, key, value, mask)) for mask in masks)


def giving_tokens(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call where it gives [B, Tq, d_model]."""
    with contextlib.suppress(Exception):
        found = caller.locate(module, *given)
        output = found.items(module, *given, None)[found.output_from]
        return found if isinstance(output, Tensor) and output.shape == given[0].shape else None
    return None
