"""A number that was guessed, and is the side of a square of tokens: with 1, say, a table of one token is broadcast to all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from mhsa.introspect.stages.built_and_called import BuiltAndCalled
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter

_SIDES = (2, 3, 5)
# How an axis of a table grows with the side: by tokens, by offsets of tokens down and across, and by offsets in one direction.
_TOKENS, _OFFSETS, _ONE_WAY = (4, 9, 25), (9, 25, 81), (3, 5, 9)


def require_no_side(built: BuiltAndCalled, stated: Callable[[str, Any], ModuleAdapter]) -> None:
    """Raise if a number that was guessed is the side of the square of tokens that a module is built for.

    Args:
        built: the module, with the guess.
        stated: returns the adapter with a value of an argument stated.

    Raises:
        Question: it is, so that nothing that it has for each token or offset would be judged.
    """
    adapter = built.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or adapter.window:
        return
    for name, words in adapter.constructor.guessed.items():
        if _is_side(built, stated, name):
            raise Question(
                f"it has been built with {name}={words}, which no name told, and has tables of {name} x {name} tokens, or of "
                "their offsets: it takes so many tokens alone, and is called with any number. Judge the attention inside"
            )


def _is_side(built: BuiltAndCalled, stated: Callable[[str, Any], ModuleAdapter], name: str) -> bool:
    try:
        modules = [stated(name, value).build(*built.given) for value in _SIDES]
    except Exception:  # it has no such value
        return False
    return any(map(_grows, _sizes(modules)))


def _grows(axes: list[tuple[int, ...]]) -> bool:
    return _TOKENS in axes or _OFFSETS in axes or axes.count(_ONE_WAY) > 1


def _sizes(modules: list[nn.Module]) -> Iterator[list[tuple[int, ...]]]:
    """Yield of each parameter and buffer the sizes of its axes, each in all of the modules."""
    states = [dict([*module.named_parameters(), *module.named_buffers()]) for module in modules]
    for name in states[0]:
        tensors = [state[name] for state in states if name in state]
        if len(tensors) == len(states) and len({x.dim() for x in tensors}) == 1:
            yield list(zip(*(x.shape for x in tensors), strict=True))
