"""Positions that are added to the wrong ones of queries, keys and values: when that is a mistake, and what it is in words.

Who adds them to a whole sequence, values and all, may mean it so. So values that get them are a mistake only where a name or
the source says that they are those of queries or keys.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Any

from mhsa.records.names import KEY, QUERY, is_called
from mhsa.source.written_code import nodes_of, parsed_owners

Effect = tuple[int, int, int]  # how often positions are added to queries, keys and values; -1 where they are subtracted

# All that is told apart, the usual ones first.
EFFECTS: tuple[Effect, ...] = (
    (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0),
    (1, 1, 1), (0, 1, 1), (1, 0, 1), (0, 0, 1),
    (-1, 0, 0), (0, -1, 0), (-1, -1, 0), (1, -1, 0), (-1, 1, 0),
)  # fmt: skip
_WITHOUT_VALUES = QUERY | KEY | {"qk"}
_ROLES = ("queries", "keys", "values")


def in_words(effect: Effect) -> str:
    """Return where positions are added, in words."""
    words = [
        f"{verb} {_listed(roles)}"
        for sign, verb in ((1, "added to"), (-1, "subtracted from"))
        if (roles := [role for role, n in zip(_ROLES, effect, strict=True) if n == sign])
    ]
    return " and ".join(words) or "added to nothing"


def is_mistake(owner: type[Any], name: str, effect: Effect, usual: Collection[Effect], *, explicit: bool) -> bool:
    """Whether nobody means positions that are added so.

    Args:
        owner: the class whose call takes them.
        name: the argument.
        effect: where they are added, which is not usual.
        usual: where they may be added.
        explicit: whether they have the name of queries or keys, next to values of their own.
    """
    without_values: Effect = (*effect[:2], 0)
    if effect[2] and without_values in usual:
        return explicit or (not _is_whole(owner, name) and _means_no_values(owner, name))
    return effect != (0, 0, 0)  # what nothing reads may be there because others take it


def _listed(roles: list[str]) -> str:
    return roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} and {roles[-1]}"


def _functions(owner: type[Any]) -> Iterator[ast.FunctionDef]:
    """Yield the functions of a class and of those that it is made from, as far as their source is there; none of torch's."""
    for each in parsed_owners(owner):
        yield from (node for node in nodes_of(each) if isinstance(node, ast.FunctionDef))


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _added(node: ast.AST, name: str) -> ast.expr | None:
    """Return what positions are added to: in ``x + pos``, or in ``with_positions(x, pos)``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        pair = [node.left, node.right]
    elif isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        pair = node.args
    else:
        return None
    others = [each for each in pair if not _is(each, name)]
    return others[0] if len(others) == 1 else None


def _sums(node: ast.AST, name: str) -> list[ast.expr]:
    """Return what positions are added to within a statement."""
    return [other for each in ast.walk(node) if (other := _added(each, name)) is not None]


def _values(value: ast.expr) -> Iterator[ast.expr]:
    """Yield what may be assigned: either side of a condition, and what is given to a layer, as in ``norm(x + pos)``."""
    yield value
    if isinstance(value, ast.IfExp):
        yield from (*_values(value.body), *_values(value.orelse))
    if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
        yield from _values(value.args[0])


def _is_whole(owner: type[Any], name: str) -> bool:
    """Whether a sequence is replaced by its sum with the positions, ``x = x + pos``; a helper of two arguments says nothing."""
    for function in _functions(owner):
        if len(function.args.args) <= 3 and function.name != "forward":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.AugAssign) and _is(node.value, name):
                return True
            if isinstance(node, ast.Assign):
                targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
                sums = [_added(value, name) for value in _values(node.value)]
                if any(isinstance(x, ast.Name) and x.id in targets for x in sums):
                    return True
    return False


def _means_no_values(owner: type[Any], name: str) -> bool:
    """Whether the sum has the names of queries or keys alone, or is written again for values by themselves."""
    for function in _functions(owner):
        for node in ast.walk(function):
            for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
                simple = [each for each in block if not hasattr(each, "body")] if isinstance(block, list) else []
                sums = [ast.dump(x) for each in simple for x in _sums(each, name)]
                if len(set(sums)) < len(sums):  # of two branches each may have its own
                    return True
            if isinstance(node, ast.Assign) and _sums(node.value, name):
                called = [target.id for target in node.targets if isinstance(target, ast.Name)]
                if called and all(is_called(each, _WITHOUT_VALUES) for each in called):
                    return True
    return False
