"""One call of a module, watched: what each of its parts was given and gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class PartCall:
    """One call of one part, in the order in which the calls end; the module itself has path ``""``."""

    path: str
    part: nn.Module
    given: tuple[Tensor, ...]
    gave: tuple[Any, ...]

    @property
    def output(self) -> Tensor | None:
        """Return the first tensor that it gave."""
        return next((x for x in self.gave if isinstance(x, Tensor)), None)


def watch(module: nn.Module, call: Callable[[], Any]) -> tuple[list[PartCall], Any]:
    """Return the calls of all parts during ``call``, and what it returned; nothing is left behind in the module."""
    calls: list[PartCall] = []

    def note(path: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], gave: Any) -> None:
            given = tuple(x.clone() for x in (*args, *kwargs.values()) if isinstance(x, Tensor))  # it may be added to in place
            items = tuple(gave) if isinstance(gave, (tuple, list)) else (gave,)
            calls.append(PartCall(path, part, given, tuple(x.clone() if isinstance(x, Tensor) else x for x in items)))

        return hook

    handles = [part.register_forward_hook(note(path), with_kwargs=True) for path, part in module.named_modules()]
    try:
        result = call()
    finally:
        for handle in handles:
            handle.remove()
    return calls, result
