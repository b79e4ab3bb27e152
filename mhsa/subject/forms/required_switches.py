"""Arguments of a call that must be given and are switches: the source uses them as conditions, or hands them on to such."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mhsa.source.written_code import nodes_of, tree_of
from mhsa.subject.forms.handed_on import given_in, handed_on

DEPTH = 4  # functions that hand an argument on to each other; more of them are no usual code


def is_switch(function: Callable[..., Any], name: str, depth: int = DEPTH) -> bool:
    """Whether a function only tests whether its argument ``name`` is true, itself or where it hands it on.

    What is compared with None is no such switch: None is one of its values.
    """
    function = inspect.unwrap(function)
    try:
        tree = tree_of(function)
    except (OSError, TypeError, SyntaxError):
        return False
    nodes = list(ast.walk(tree))
    tests = {id(test) for node in nodes for test in _tests(node)}
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    others = [node for node in uses if id(node) not in tests]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    handed = [handed_on(function, call, node) for node in others for call in calls if node in given_in(call)]
    if not uses or len(handed) != len(others) or any(not isinstance(node.ctx, ast.Load) for node in uses):
        return False
    return all(depth > 0 and taken is not None and is_switch(*taken, depth - 1) for taken in handed)


def is_compared_with_none(function: Callable[..., Any], name: str) -> bool:
    """Whether a function asks whether its argument ``name`` is None, so that it may be."""
    try:
        nodes = nodes_of(inspect.unwrap(function))
    except (OSError, TypeError, SyntaxError):
        return False
    compared = [node for node in nodes if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Is, ast.IsNot))]
    return any(
        isinstance(node.left, ast.Name) and node.left.id == name and isinstance(x, ast.Constant) and x.value is None
        for node in compared
        for x in node.comparators
    )


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is tested for being true, by itself or compared with True and False."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Compare) and all(isinstance(x, ast.Constant) and type(x.value) is bool for x in node.comparators):
        yield node.left
