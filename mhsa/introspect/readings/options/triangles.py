"""Options of a constructor under which the source hides with a triangle, as a causal mask is one, whatever they are called."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from mhsa.oracle.bounded import Array
from mhsa.source.written_code import named_in, nodes_of, parsed_owners
from mhsa.subject.construction.by_source.argument_nodes import kept_as
from mhsa.subject.generic_inputs import is_exact
from mhsa.subject.trial import Trial

TRIANGLE = re.compile(r"\btri[lu](_indices)?\b")
_HIDES = re.compile(r"masked_fill_?|where|inf|finfo|attn_mask|mask(_value)?|fill_value|maskval", re.IGNORECASE)
_LEAST = 1e3  # a number below its opposite hides what it is added to or put in the place of


@functools.cache
def hides_with_triangle(target: Any, option: str) -> bool:
    """Whether code that a class runs only where an option is set has, or calls what has, a triangle that it hides with."""
    nodes = [node for owner in parsed_owners(target) for node in nodes_of(owner)]
    kept = {option, *(name for node in nodes for name in kept_as(node, option))}
    every = [*nodes, *(node for owner in named_in(target) if inspect.isfunction(owner) for node in nodes_of(owner))]
    functions = {node.name: list(ast.walk(node)) for node in every if isinstance(node, ast.FunctionDef)}
    kept_triangles = set(_kept_triangles(nodes)) - kept
    for body in _bodies(nodes, kept):
        called = [inner for name in {_name(node) for node in body} & functions.keys() for inner in functions[name]]
        if _has([*body, *called], kept_triangles) and _hides([*body, *called]):
            return True
    return False


def sees_some_later_keys(trial: Trial, output: Array) -> bool:
    """Whether an output is that of attention in which each query sees the keys before it, its own, and one or two behind it."""
    batch, length = trial.query.shape[:2]
    for more in (1, 2):
        triangle = np.broadcast_to(np.tri(length, length, more, dtype=bool), (batch, length, length))
        if is_exact(output, trial.expect_under(trial.effective(triangle, trial.query, trial.key)).output):
            return True
    return False


def _bodies(nodes: list[ast.AST], kept: set[str]) -> Iterator[list[ast.AST]]:
    """Yield what runs only where one of these names is true, with the values of conditional expressions."""
    for node in nodes:
        if isinstance(node, ast.If) and _is_asked(node.test, kept):
            yield [inner for statement in node.body for inner in ast.walk(statement)]
        elif isinstance(node, ast.IfExp) and _is_asked(node.test, kept):
            yield list(ast.walk(node.body))


def _is_asked(test: ast.expr, kept: set[str]) -> bool:
    """Whether a condition is one of the names, or that and something else."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(_is_asked(each, kept) for each in test.values)
    return _name(test) in kept and isinstance(test, (ast.Name, ast.Attribute))


def _kept_triangles(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names of attributes and buffers that are made with a triangle."""
    for node in nodes:
        if not isinstance(node, (ast.Assign, ast.Call)) or not _has(list(ast.walk(node)), set()):
            continue
        if isinstance(node, ast.Assign):
            yield from (_name(each) for each in node.targets)
        elif _name(node.func) == "register_buffer" and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def _has(body: list[ast.AST], triangles: set[str]) -> bool:
    names = {_name(node) for node in body} - {""}
    return any(TRIANGLE.fullmatch(name) for name in names) or not names.isdisjoint(triangles)


def _hides(body: list[ast.AST]) -> bool:
    """Whether something is filled, or a number is there that hides."""
    named = any(_HIDES.fullmatch(_name(node)) for node in body)
    texts = [node.value for node in body if isinstance(node, ast.Constant)]
    return named or any(text == "-inf" or (type(text) is float and text > _LEAST) for text in texts)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.keyword):
        return node.arg or ""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
