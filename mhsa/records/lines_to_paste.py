"""The lines to paste that answer a question: in pyproject.toml, on the command line, in the class."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from mhsa.records.declarations import as_options, canonical, in_words, key_of, toml
from mhsa.records.request import Request


def as_table(declared: Mapping[str, Any], request: Request) -> str:
    """Return the lines of pyproject.toml: that of a configured subject's table, or the whole table of another."""
    contract = f"contract = {{ {in_words(canonical(request.contract) | canonical(declared))} }}"
    if request.folder and request.label != request.spec:
        return f"[tool.mhsa.subjects.{key_of(request.label)}]\n{contract}"
    stem = re.split(r"[/:.]", request.label.removesuffix(".py"))[-1] or "attention"
    return f"[tool.mhsa.subjects.{key_of(stem)}]\nsubject = {toml(request.spec)}\n{contract}"


def as_python(declared: Mapping[str, Any]) -> str:
    """Return the line of a class that declares the same."""
    return f"mhsa_contract = mhsa.Contract({', '.join(f'{name}={_python(value)}' for name, value in declared.items())})"


def _python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def answers(declared: Mapping[str, Any], request: Request) -> dict[str, str]:
    """Return the ways to declare something, each as lines to paste: in pyproject.toml, as options, in the class."""
    if not declared:
        return {}
    return {
        "pyproject.toml": as_table(declared, request),
        "option": shlex.join([*request.typed, *as_options(declared)]),
        "class": as_python(declared),
    }


def question_with_answers(message: str, declared: Mapping[str, Any], request: Request) -> str:
    """Return a question with the lines that answer it, where there is only text to show it in."""
    places = {"pyproject.toml": "in pyproject.toml", "class": "or in the class"}
    lines = answers(declared, request)
    blocks = [f"{words}:\n\n{lines[place]}" for place, words in places.items() if place in lines]
    return "\n\n".join([message, *([f"If that is meant, declare it {blocks[0]}", *blocks[1:]] if blocks else [])])
