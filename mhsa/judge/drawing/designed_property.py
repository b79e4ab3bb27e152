"""A property as a plain test of designed cases; where one fails, Hypothesis makes it as small as possible."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes
from hypothesis.errors import Flaky

from mhsa.judge.drawing.designed_cases import design

_KEY = b"mhsa"  # of the one example in a database of its own


def designed_property(
    inner: Callable[..., None],
    strategies: Mapping[str, st.SearchStrategy[Any]],
    count: int,
    seed: str,
    settings: hypothesis.settings,
) -> Callable[[Any], None]:
    """Return a test of ``count`` designed cases; ``seed`` is text, and ``settings`` say whether a failing case is shrunk."""

    def judged(subject: Any) -> None:
        with _own_random_numbers():
            for case in design(strategies, count, seed):
                _seed_random_numbers()
                try:
                    inner(subject=subject, **case.drawn)
                except pytest.skip.Exception:
                    raise
                except Exception as error:
                    if hypothesis.Phase.shrink not in settings.phases:
                        raise
                    _shrink(inner, strategies, case.choices, settings, subject)
                    # It did not fail again, so that there is nothing smaller; perhaps it does as it was.
                    inner(subject=subject, **case.drawn)
                    raise error from Flaky("the same call gave another result the next time")

    judged.__name__, judged.__doc__ = inner.__name__, inner.__doc__
    return judged


def _shrink(
    inner: Callable[..., None],
    strategies: Mapping[str, st.SearchStrategy[Any]],
    choices: Sequence[int],
    settings: hypothesis.settings,
    subject: Any,
) -> None:
    """Raise what the smallest case raises that fails like the one of these choices; return if that does not fail again."""
    database = InMemoryExampleDatabase()
    # One choice more than are drawn: what is replayed exactly is taken for the end of an earlier search, and stays as it is.
    database.save(_KEY, choices_to_bytes((*choices, 0)))
    smaller: Any = hypothesis.given(**strategies)(inner)
    phases = (hypothesis.Phase.reuse, hypothesis.Phase.shrink)
    smaller = hypothesis.settings(settings, database=database, phases=phases)(smaller)
    smaller._hypothesis_internal_database_key = _KEY
    smaller(subject=subject)


def _seed_random_numbers() -> None:
    """Give Python's and NumPy's global generators the state that they have in every case, as Hypothesis does."""
    random.seed(0)
    np.random.seed(0)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Put the global generators back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
