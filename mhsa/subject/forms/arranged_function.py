"""A function that returns its output, its weights and a log-sum-exp in other places than a slot expects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from mhsa.subject.returned import listed

Places = tuple[int, int | None, int | None]  # of output, weights and log-sum-exp among the values that a function returns

_kept: ContextVar[list[Any] | None] = ContextVar("mhsa_log_sum_exp", default=None)


@contextlib.contextmanager
def keeping() -> Iterator[list[Any]]:
    """Give the list to which each call of an arranged function adds its log-sum-exp: the slot passes on Z and A alone."""
    kept: list[Any] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


class ArrangedFunction:
    """Takes output and weights from their places in a tuple, a list, a dictionary or an object."""

    def __init__(self, function: Callable[..., Any], places: Places) -> None:
        self.__wrapped__ = function  # where inspect.signature looks for the names of its parameters
        self.__name__ = getattr(function, "__name__", repr(function))
        self._output, self._weights, self._lse = places

    def __call__(self, **named: Any) -> Any:
        """Return (Z, A), or Z where there are no weights."""
        values = listed(self.__wrapped__(**named))
        kept = _kept.get()
        if self._lse is not None and kept is not None:
            kept.append(values[self._lse])
        return values[self._output] if self._weights is None else (values[self._output], values[self._weights])
