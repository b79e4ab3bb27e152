"""A constructor that must be given the number of keys that a query sees: which window it is, and with causality or without."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from mhsa.introspect.readings.fit import fits
from mhsa.records.declarations import as_options, in_words
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.source.written_code import source_of
from mhsa.subject.construction.declared_options import is_window
from mhsa.subject.subject import Subject

# The commonest first; four keys with the own one, or three on each side, are fewer than the sizes that are tried have.
_WINDOWS: tuple[dict[str, Any], ...] = (
    {"causal": "top-left", "window": [3, 0]},
    {"causal": "top-left", "window": [3, -1]},
    {"window": [3, 3]},
    {"window": [3, 0]},
)
# A constructor may count otherwise: without the own one, or on both sides together; its docstring may say that it does not.
_OTHERWISE: tuple[tuple[dict[str, Any], int], ...] = (
    ({"causal": "top-left", "window": [4, 0]}, 4),
    ({"window": [3, 3]}, 7),
)
_WITH_ITSELF = re.compile(
    r"\b(with|includ\w+|and) (itself|its own|the (own|current)|self)\b|\bitself included\b", re.IGNORECASE
)
_TABLE = "bias"  # what a question about a table of a window declares


def with_required_window(target: Any, request: Request, understand: Callable[[Any, Request], Subject]) -> Subject:
    """Understand an object; where its constructor needs a window that nothing declares, under the first one that fits.

    Raises:
        SubjectError: what ``understand`` raises.
        Question: with the declaration of the window, and of causality, under which it is exactly right.
    """
    name = _required(target)
    stated = {"window", "causal"} & set(request.contract) or name in request.arguments
    if not name or stated or getattr(target, "mhsa_contract", None) is not None:
        return understand(target, request)
    try:
        plain: Subject | SubjectError = understand(target, request)
    except SubjectError as error:
        plain = error
    if isinstance(plain, Question) and _TABLE in plain.declaration:  # height and width of a window of a picture
        raise plain
    for declared in _WINDOWS:
        words = f"its constructor needs {name}, and it is exactly right under {in_words(declared)}"
        try:
            subject = understand(target, request.under(declared))
        except Question as question:
            if question.declaration and _TABLE not in question.declaration:
                raise Question(f"{words}; {question}", declared | dict(question.declaration)) from question
            continue
        except SubjectError:
            continue
        if fits(subject):
            raise Question(words, declared)
    with_its_own = _WITH_ITSELF.search(str(target.__doc__)) is not None
    for declared, number in () if with_its_own else _OTHERWISE:
        if _is_right(understand, target, request.under(declared, {name: number})):
            words = f"its constructor needs {name}: with {name}={number} it is exactly {in_words(declared)}"
            options = " ".join([*as_options({name: number}, "--argument"), *as_options(declared)])
            raise Question(f"{words}. State both: {options}")
    if not isinstance(plain, SubjectError):
        return plain
    slides = re.search("slid", f"{name} {target.__name__} {target.__doc__}", re.IGNORECASE)
    if isinstance(plain, Question) and not plain.declaration and slides:
        raise Question(f"its constructor needs {name}, which fits in no way that is tried", _WINDOWS[0]) from plain
    raise plain


def _is_right(understand: Callable[[Any, Request], Subject], target: Any, request: Request) -> bool:
    try:
        return fits(understand(target, request))
    except SubjectError:
        return False


def _required(target: Any) -> str:
    """Return the argument of a class that is a window of tokens and has no default; empty where there is none."""
    if not inspect.isclass(target):
        return ""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return ""
    name = next((n for n, p in parameters.items() if p.default is p.empty and is_window(n)), "")
    try:
        kind: Any = target
        of_a_picture = re.search(rf"\b{name}\[", source_of(kind)) is not None  # height and width
    except (OSError, TypeError):
        return ""
    return "" if of_a_picture else name
