"""Options that take one of a closed set of words: which words the source allows, and which of them means plain attention."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

# Kinds of attention, and what is said of the usual one, the clearest first; a word may end in "attention" as well.
_PLAIN = (
    "full", "vanilla", "standard", "scaled_dot_product", "scaled_dot", "scaleddot", "scaleddotproduct", "sdp", "sdpa",
    "dot_product", "dotproduct", "dot", "softmax", "plain", "dense", "quadratic", "exact", "global", "mha", "multi_head",
    "multihead", "self",
    "normal", "regular", "classic", "base", "basic", "default", "torch", "eager", "math", "naive", "manual", "none",
)  # fmt: skip
_ENDS = re.compile(r"[_ ]?(attention|attn|att|prod|product)$", re.IGNORECASE)


def is_plain(word: str) -> bool:
    """Whether a word names plain attention."""
    return _rank(word) < len(_PLAIN)


def plain_first(words: list[str]) -> list[str]:
    """Return the words with those that name plain attention in front."""
    return sorted(words, key=_rank)


def listed_words(target: Any, parameter: inspect.Parameter | None, nodes: list[ast.AST], names: set[str]) -> list[str]:
    """Return the words that an annotation, a ``match`` statement, or a list or dict of the file allows for an argument.

    Args:
        target: the class or function that takes it.
        parameter: it, if it is an argument.
        nodes: of the source.
        names: what the source calls it.
    """
    place = vars(inspect.getmodule(target)) if inspect.getmodule(target) else {}
    found = [*_annotated(parameter, place)]
    for node in nodes:
        if isinstance(node, ast.Match) and _is_called(node.subject, names):
            found += [x.value for case in node.cases for x in ast.walk(case.pattern) if isinstance(x, ast.Constant)]
        elif isinstance(node, ast.Compare) and _is_called(node.left, names) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            found += _held(node.comparators[0], target, place)
        elif isinstance(node, ast.Subscript) and _is_called(node.slice, names):
            found += _held(node.value, target, place)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
            found += _held(node.func.value, target, place) if _is_called(node.args[0], names) else []
    return [word for word in dict.fromkeys(found) if isinstance(word, str)]


def _annotated(parameter: inspect.Parameter | None, place: Mapping[str, Any]) -> Iterator[Any]:
    annotation = parameter.annotation if parameter is not None else None
    if isinstance(annotation, str):
        held = re.findall(r"""Literal\[([^\]]*)\]""", annotation)
        yield from (word for text in held for word in re.findall(r"""["']([^"']*)["']""", text))
        annotation = place.get(annotation)
    for part in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(part) is typing.Literal:
            yield from typing.get_args(part)


def members(parameter: inspect.Parameter | None) -> list[enum.Enum]:
    """Return the members of an enumeration that an annotation names, those that name plain attention first."""
    kind = parameter.annotation if parameter is not None else None
    if not (inspect.isclass(kind) and issubclass(kind, enum.Enum)):
        return []
    return sorted(kind, key=lambda member: _rank(member.name))


def _held(node: ast.expr, target: Any, place: Mapping[str, Any]) -> list[Any]:
    """Return the words in a list or dict of the file, or of the class."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys":
        node = node.func.value
    if isinstance(node, ast.Dict):
        return [key.value for key in node.keys if isinstance(key, ast.Constant)]
    held = place.get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(node, ast.Attribute):
        held = getattr(target, node.attr, None)
    return [x for x in held if isinstance(x, str)] if isinstance(held, (dict, list, tuple, set, frozenset)) else []


def _is_called(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is the argument, or it in lower or upper case."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "upper", "strip"):
        node = node.func.value
    return (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr in names)


def _rank(word: str) -> int:
    plain = word.lower().replace("-", "_")
    short = _ENDS.sub("", plain)
    return min((_PLAIN.index(x) for x in (plain, short) if x in _PLAIN), default=len(_PLAIN))
