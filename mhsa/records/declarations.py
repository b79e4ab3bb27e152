"""Declarations of a contract: checked alike wherever they are written, and written as TOML and as options."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from mhsa.oracle.formula.fields import as_declared
from mhsa.records.contract import FORMER_NAMES, Contract

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def field_names() -> tuple[str, ...]:
    """Return the fields that can be declared; former names are understood, and not listed."""
    return tuple(name for name in Contract.__dataclass_fields__ if name not in FORMER_NAMES)


def canonical(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return a declaration with every field under its present name."""
    return {FORMER_NAMES.get(name, name): value for name, value in declared.items()}


def problem(declared: Mapping[str, Any]) -> tuple[str, str]:
    """Return the field that cannot be declared so, and why, with the nearest that can; two empty texts where all can."""
    for name in declared:
        if name not in Contract.__dataclass_fields__:
            near = difflib.get_close_matches(name, field_names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(field_names())}"
            return name, f"unknown key {name!r}; {hint}"
    texts = _texts()
    for name, value in declared.items():
        if FORMER_NAMES.get(name, name) in texts and not isinstance(value, str) and (name, type(value)) != ("causal", bool):
            return name, f"{name} = {value!r}; must be a text"
    contract = canonical(declared)
    try:
        replace(Contract(), **contract)
    except (TypeError, ValueError) as error:
        wrong = next((name for name in declared if f"({FORMER_NAMES.get(name, name)}=" in str(error)), "")
        value = declared.get(wrong)
        names = re.findall(r"'([^']*)'", str(error).partition("one of")[2])
        near = difflib.get_close_matches(value, names, n=1) if isinstance(value, str) else []
        return wrong or next(iter(declared), ""), f"{error}{f'; did you mean {near[0]}?' if near else ''}"
    return "", ""


def _texts() -> set[str]:
    """Return the fields whose every value is a text, or none at all."""
    names = set()
    for name, hint in typing.get_type_hints(Contract).items():
        kinds = [x for part in (typing.get_args(hint) or (hint,)) for x in (typing.get_args(part) or (part,))]
        if all(kind in (str, type(None)) or isinstance(kind, str) for kind in kinds):
            names.add(name)
    return names


def assignment(text: str) -> tuple[str, Any]:
    """Return name and value of a text such as ``mask=blocked``; the value is TOML, and a bare word stands for itself.

    Raises:
        ValueError: it has no name, or a value that is neither; the message says what is allowed.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or not value:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        if value[0] in "\"'{" or (value[0] == "[" and value[-1] != "]"):  # no shape either, such as [B, Tk]
            raise ValueError(f'{text!r}: the value is not TOML; write 3, true, "text", [3, 0] or {{base = 10000.0}}') from None
        return name, value


def declared_field(text: str) -> tuple[str, Any]:
    """Return a field of the contract and its value, of a text such as ``mask=blocked``; ``nan`` is a word here, no number.

    Raises:
        ValueError: the text is something else.
    """
    name, value = assignment(text)
    is_text = FORMER_NAMES.get(name, name) in _texts() and not isinstance(value, str)
    return name, text.partition("=")[2].strip() if is_text else value


def toml(value: Any) -> str:
    """Return a value as TOML writes it in one line."""
    if is_dataclass(value) and not isinstance(value, type):
        value = as_declared(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_of(k)} = {toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def key_of(name: str) -> str:
    """Return a name as TOML writes it."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def in_words(declared: Mapping[str, Any]) -> str:
    """Return a declaration in one line: ``mask = "blocked", layout = "TBD"``."""
    return ", ".join(f"{key_of(name)} = {toml(value)}" for name, value in declared.items())


def as_options(declared: Mapping[str, Any], option: str = "--contract") -> list[str]:
    """Return the arguments of a command line that declare the same; a text that TOML would read otherwise keeps its quotes."""
    words = []
    for name, value in declared.items():
        read = declared_field if option == "--contract" else assignment
        plain = isinstance(value, str) and _is_bare(name, value, read)
        words += [option, f"{name}={value if plain else toml(value)}"]
    return words


def _is_bare(name: str, value: str, read: Callable[[str], tuple[str, Any]]) -> bool:
    try:
        return read(f"{name}={value}") == (name, value)
    except ValueError:
        return False
