"""Watches the calls of parts, whichever way they are called: ``part(x)``, or ``part.forward(x)``, which no hook sees."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

Before = Callable[..., None]  # is given a part, its arguments and its named arguments
After = Callable[..., None]  # and what it gave; None where it raised


@contextmanager
def watched_forward(parts: Iterable[tuple[nn.Module, Before, After]]) -> Iterator[None]:
    """Have each part say when it begins and when it ends, while the context lasts."""
    with ExitStack() as stack:
        for part, before, after in parts:
            if isinstance(part, torch.jit.ScriptModule):  # its forward cannot be replaced
                stack.callback(part.register_forward_pre_hook(before, with_kwargs=True).remove)
                stack.callback(part.register_forward_hook(after, with_kwargs=True, always_call=True).remove)
            else:
                stack.enter_context(_replaced(part, before, after))
        yield


@contextmanager
def _replaced(part: nn.Module, before: Before, after: After) -> Iterator[None]:
    own, held = part.forward, "forward" in vars(part)

    @functools.wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        before(part, args, kwargs)
        gave = None
        try:
            gave = own(*args, **kwargs)
        finally:
            after(part, args, kwargs, gave)
        return gave

    part.forward = forward
    try:
        yield
    finally:
        if held:
            part.forward = own
        else:
            del part.forward
