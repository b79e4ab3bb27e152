"""Arguments that are a dict of further arguments: which keys the source reads, or hands on to the class of a part."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mhsa.subject.construction.argument_roles import Role, role_of
from mhsa.subject.construction.by_source.argument_nodes import is_argument

Keys = tuple[tuple[str, Role], ...]


def keys_of(target: Any, nodes: Sequence[ast.AST], names: Collection[str]) -> list[Keys]:
    """Return what may be in the dict, the likeliest first: the keys and the roles that they have by their names.

    Args:
        target: the class or function that takes it.
        nodes: of its source.
        names: what the source calls the dict.
    """
    found: list[Keys] = []
    place = vars(inspect.getmodule(target)) if inspect.getmodule(target) else {}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        if not any(keyword.arg is None and is_argument(keyword.value, names) for keyword in call.keywords):
            continue
        handed = [_handed_on(callee, call) for callee in _callees(call.func, nodes, place)]
        found += [keys for keys in handed if keys is not None] or [()]
    read, asked = set(_items(nodes, names)), set(_asked(nodes, names))
    roles = {key: role_of(key) for key in sorted(read | asked)}
    if (read or asked) and all(roles[key] is not None for key in read):
        found.append(tuple((n, role) for n, role in roles.items() if role is not None and (n in read or role == "dropout")))
    return list(dict.fromkeys(found))


def _callees(called: ast.expr, nodes: Sequence[ast.AST], place: Mapping[str, Any]) -> list[Any]:
    """Return what of the file may be called: by its name, as an item of a dict, or where an attribute keeps one of these."""
    if isinstance(called, ast.Name):
        return [place[called.id]] if callable(place.get(called.id)) else []
    if isinstance(called, ast.Subscript) and isinstance(called.value, ast.Dict):
        return [x for value in called.value.values for x in _callees(value, nodes, place)]
    if isinstance(called, ast.Subscript) and isinstance(called.value, ast.Name):
        held = place.get(called.value.id)
        return [x for x in held.values() if callable(x)] if isinstance(held, dict) else []
    if not isinstance(called, ast.Attribute):
        return []
    kept = [value for node in nodes for target, value in assigned(node) if is_argument(target, {called.attr})]
    return [x for value in kept if not isinstance(value, ast.Attribute) for x in _callees(value, nodes, place)]


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield what an assignment assigns to and what it assigns, those of tuples one by one."""
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        yield target, node.value
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)


def _handed_on(callee: Any, call: ast.Call) -> Keys | None:
    """Return what a call needs in addition to what it is given, and the rates of dropout that it takes.

    None where it needs what no name tells.
    """
    try:
        parameters = list(inspect.signature(callee).parameters.values())
    except (TypeError, ValueError):
        return None
    given = {keyword.arg for keyword in call.keywords}
    left = [p for p in parameters[len(call.args) :] if p.name not in given and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    keys: list[tuple[str, Role]] = []
    for parameter in left:
        role, needed = role_of(parameter.name), parameter.default is parameter.empty
        if needed and role is None:
            return None
        if role is not None and (needed or role == "dropout"):
            keys.append((parameter.name, role))
    return tuple(keys)


def _items(nodes: Sequence[ast.AST], names: Collection[str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Subscript) and is_argument(node.value, names) and isinstance(node.slice, ast.Constant):
            yield from [node.slice.value] if isinstance(node.slice.value, str) else []


def _asked(nodes: Sequence[ast.AST], names: Collection[str]) -> Iterator[str]:
    """Yield the keys that ``get`` and ``pop`` look for."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            key = node.args[0] if node.args and is_argument(node.func.value, names) else None
            yield from [key.value] if isinstance(key, ast.Constant) and isinstance(key.value, str) else []
