"""Draws from tables, which Hypothesis and a design can both make: each knows the values that it chooses from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

_VALUES = "_mhsa_values"
_COMPOSED = "_mhsa_composed"


class Draw(Protocol):
    """Chooses a value: Hypothesis' function of that name, or that of a design."""

    def __call__(self, strategy: st.SearchStrategy[T], /) -> T:
        """Return one of its values."""
        ...


@functools.cache
def one_of(values: Sequence[T]) -> st.SearchStrategy[T]:
    """Return the strategy for one draw from a table, in ascending order, so that shrinking ends in its first value.

    It is made once for each table, because making one costs more than drawing from it.
    """
    strategy = st.sampled_from(values)
    setattr(strategy, _VALUES, values)
    return strategy


def composed(compose: Callable[[Draw], T]) -> st.SearchStrategy[T]:
    """Return the strategy of what ``compose`` makes of draws from tables."""
    strategy = _composed(compose)
    setattr(strategy, _COMPOSED, compose)
    return strategy


@st.composite
def _composed(draw: st.DrawFn, compose: Callable[[Draw], Any]) -> Any:
    return compose(draw)


def is_of_tables(strategy: st.SearchStrategy[Any]) -> bool:
    """Whether every draw of a strategy is from a table."""
    return hasattr(strategy, _VALUES) or hasattr(strategy, _COMPOSED)


def make(strategy: st.SearchStrategy[Any], index: Callable[[int], int], chosen: list[int]) -> Any:
    """Return a value of a strategy of tables; ``index`` chooses one of so many.

    The choices are added to ``chosen`` as Hypothesis counts them: a table of one value is no choice.
    """
    compose = getattr(strategy, _COMPOSED, None)
    if compose is not None:
        return compose(lambda inner: make(inner, index, chosen))
    values = getattr(strategy, _VALUES)
    number = index(len(values))
    if len(values) > 1:
        chosen.append(number)
    return values[number]
