"""What a docstring says that an argument of a constructor is, where its name says nothing: "K: number of attention heads"."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mhsa.source.docstring_lines import docstring_of, entry_pattern
from mhsa.subject.construction.argument_roles import Role, role_of

# Before the words for a size there may be the type that NumPy's style has there, and an article.
_BEGINNING = r"\s*((int|float|optional|default\w*[:= ]*[\d.]*),?\s+)*((the|a|total|an)\s+)*"
_SIZE = r"(dim(ension(s|ality)?)?|size|width)"
_WORDS: tuple[tuple[Role, str], ...] = (
    ("kv head", r"(number|num|count) of (the )?(shared )?(key|kv|k/v|key[-/ ]value|key and value)s? heads\b"),
    (
        "head width",
        rf"({_SIZE}|features|channels) (of|per|for|in) (each |every |a |one |the )?(single )?(attention )?heads?\b",
    ),
    ("head width", rf"(per-)?head {_SIZE}\b"),
    ("head", r"(number|num|count|amount) of (the )?((parallel|attention|self-attention|multi-head|query) )*heads\b"),
    ("dropout", r"\bdropout (rate|prob(ability)?)\b|\bprobability of (dropout|dropping)\b"),
    (
        "d_model",
        rf"{_SIZE} of (the )?((input|token|word|node|hidden) )*(model|embeddings?|features?|inputs?|tokens?|states?)\b",
    ),
    ("d_model", rf"(model|embedding|hidden|feature|input)[- ]{_SIZE}\b|\bnumber of (input |hidden )?(features|channels)\b"),
)
_KINDS = tuple((role, re.compile(rf"{_BEGINNING}(?:{words})", re.IGNORECASE)) for role, words in _WORDS)
# Of something else than the size itself.
_OTHER = re.compile(r"whether|\bratio\b|\bfactor\b|sqrt|\broot\b|\*\*|feed|mlp|low[- ]rank|\bif\b|divisor|scale", re.IGNORECASE)


def documented_roles(target: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Role]:
    """Return the roles of arguments of a class or function, by what its docstrings say of them in a line of their own.

    What has a default has a role only where that is a whole number.
    """
    lines = [line for owner in (target, getattr(target, "__init__", None)) for line in docstring_of(owner).splitlines()]
    found: dict[str, Role] = {}
    for name, parameter in parameters.items():
        if role_of(name) is not None or (parameter.default is not parameter.empty and type(parameter.default) is not int):
            continue
        roles = {role for text in _lines_of(lines, name) if (role := _role_in(text)) is not None}
        if len(roles) == 1:
            found[name] = roles.pop()
    return found


def _role_in(text: str) -> Role | None:
    if _OTHER.search(text):
        return None
    return next((role for role, words in _KINDS if words.match(text)), None)


def _lines_of(lines: list[str], name: str) -> Iterator[str]:
    """Yield what stands behind ``name:``, ``name (int):`` or ``:param name:``, or in the next line, as in NumPy's style."""
    entry = entry_pattern(re.escape(name), "[:=]")
    for n, line in enumerate(lines):
        match = entry.match(line)
        if match is None:
            continue
        text = line[match.end() :].lstrip()
        below = lines[n + 1] if n + 1 < len(lines) else ""
        further_in = len(below) - len(below.lstrip()) > len(line) - len(line.lstrip())
        yield f"{text} {below.strip()}" if further_in else text
