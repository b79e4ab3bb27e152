"""A window of its own that an implementation has: a number of its source, which shows where there are more tokens than that."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mhsa.introspect.readings.formula.source_words import source_speaks_of
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question
from mhsa.subject import check
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# What tells a token's place, without which there is no window; to call with many tokens for nothing may cost a GPU.
_PLACES = re.compile(r"arange|tril|triu|window|sliding|band|diagonal|linspace", re.IGNORECASE)
_LARGEST = 128  # tokens of a window that is looked for: further ones cost more than a reading may
_NUMBERS = 8  # of a source that are tried: a file with more of them is no attention module alone
_NARROW = 20  # tokens with which a window shows that is narrower than the longest of generic inputs
_MOST = 320  # windows that are tried in all
_BEYOND = 3  # tokens beyond a window, so that keys on both sides are hidden


def window_in_source(subject: Subject) -> dict[str, Any]:
    """Return the declaration of the window with which an implementation is exact where it is not without; else nothing.

    ``subject`` is read under all else that is declared or was found.
    """
    return next((f for f in _windows(subject) if _has(subject, f) and not _is_exact(subject, _tokens(f))), {})


def ask_about_window(subject: Subject) -> None:
    """Ask whether a window is meant, where the subject is exact with fewer tokens than it has.

    Who declares causal = "no" has said what is computed, and is asked nothing.

    Raises:
        Question: without a mask the output is exactly that of the formula with a window, and is not without one.
    """
    if subject.contract.causal != "no" and (window := window_in_source(subject)):
        raise _question(subject, window)


def ask_about_narrow_window(subject: Subject, also: Iterable[Mapping[str, Any]]) -> None:
    """Ask the same of a window with fewer tokens than generic inputs have, in causal attention and not.

    ``also`` are declarations to try with it, one at a time. Raises as :func:`ask_about_window`.
    """
    contract = subject.contract
    if contract.window is not None or contract.causal == "no":
        return
    aligned: list[dict[str, Any]] = [{}, {"causal": "top-left"}] if contract.causal is None else [{}]
    tries = (
        (first | dict(more), window) for more, first in itertools.product(also, aligned) for window in _under(subject, first)
    )
    narrow = ((fields, window) for fields, window in tries if _tokens(window) <= _NARROW)
    for fields, window in itertools.islice(narrow, _MOST):
        read = subject.under(replace(contract, **fields))
        if _has(read, window) and not _is_exact(read, _tokens(window)):
            raise _question(subject, {**fields, **window})


def _question(subject: Subject, declared: Mapping[str, Any]) -> Question:
    held: dict[str, Any] = {name: tuple(value) if name == "window" else value for name, value in declared.items()}
    words = "; ".join(replace(subject.contract, **held).formula.words)
    return Question(f"without a mask its output is exactly that of {in_words(declared)}: {words}", declared)


def _under(subject: Subject, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return _windows(subject.under(replace(subject.contract, **fields)))


def _windows(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield declarations to try: so many keys before the own place, or one less, and as many after it or all of them."""
    if subject.contract.window is not None or not _tells_places(subject):
        return
    numbers = [int(n) for n in subject.constants if float(n).is_integer() and 1 <= n <= _LARGEST][:_NUMBERS]
    for before in dict.fromkeys(m for n in numbers for m in (n, n - 1) if m > 0):
        for after in (before, -1) if subject.contract.formula.causal == "no" else (-1,):
            yield {"window": [before, after]}


def _tells_places(subject: Subject) -> bool:
    """Whether the source may tell the places of tokens; that of a function is not looked at."""
    return not isinstance(subject.adapter, ModuleAdapter) or source_speaks_of(subject.adapter, _PLACES)


def _tokens(window: Mapping[str, Any]) -> int:
    return int(window["window"][0]) + _BEYOND


def _has(subject: Subject, window: Mapping[str, Any]) -> bool:
    """Whether it is exact with a window, at two lengths."""
    read = subject.under(replace(subject.contract, window=tuple(window["window"])))
    return all(_is_exact(read, n) for n in (_tokens(window), 2 * _tokens(window) - 1))


def _is_exact(subject: Subject, tokens: int) -> bool:
    """Whether the output with as many queries as keys is the oracle's."""
    try:
        answer = Trial(subject, replace(generic_case(subject), query_length=tokens, key_length=tokens), counted=False)()
    except (check.Violation, check.Inapplicable):
        return False
    return is_exact(answer.output, answer.expected.output)
