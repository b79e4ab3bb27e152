"""A number that the scores are divided or multiplied by, and that must be given: by the source.

A configuration is handed on to the class that scores, so what is done with ``config.scale`` may stand in
any class that is named in the one that takes it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, Literal

from mhsa.source.written_code import named_in, nodes_of
from mhsa.subject.construction.by_source.argument_nodes import is_argument, kept_as

ScoreScale = Literal["score divisor", "score factor"]

_SCALE = re.compile(r"scal(e|ing|er)|temp(er|erature)?(_|$)|(^|_)tau(_|$)|norm_?fact", re.IGNORECASE)
_PRODUCTS = {"matmul", "bmm", "einsum", "baddbmm", "__matmul__"}
_OF_SCORES = re.compile(
    r"(^|_)(q|qs|quer(y|ies)|scores?|attn|att|attention|energy|logits?|sim|dots?|weights?|w|qk|alpha)(_|$)", re.I
)


def score_scale(target: Any, name: str) -> ScoreScale | None:
    """Return whether scores, or queries, are divided by what is given as ``name`` or multiplied by it; None for neither.

    ``target`` is the class that takes it, or whose configuration has it; its name must say that it is a scale.
    """
    if not _SCALE.search(name):
        return None
    nodes = [node for owner in named_in(target) for node in nodes_of(owner)]
    names = {name} | {attribute for node in nodes for attribute in kept_as(node, name)}
    found: set[ScoreScale] = set()
    for left, operator, right in (x for node in nodes for x in _operations(node)):
        if isinstance(operator, ast.Div) and is_argument(right, names) and _has_scores(left):
            found.add("score divisor")
        if isinstance(operator, ast.Mult):
            pairs = ((left, right), (right, left))
            found |= {"score factor" for one, other in pairs if is_argument(one, names) and _has_scores(other)}
    return found.pop() if len(found) == 1 else None


def _operations(node: ast.AST) -> Iterator[tuple[ast.expr, ast.operator, ast.expr]]:
    """Yield what a node computes of two expressions, in whichever way it is written."""
    if isinstance(node, ast.BinOp):
        yield node.left, node.op, node.right
    elif isinstance(node, ast.AugAssign):
        yield node.target, node.op, node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
        operator = {"div": ast.Div(), "div_": ast.Div(), "mul": ast.Mult(), "mul_": ast.Mult()}.get(node.func.attr)
        if operator is not None:
            yield node.func.value, operator, node.args[0]


def _has_scores(expression: ast.expr) -> bool:
    """Whether an expression is a product of matrices, or has a name that queries or scores have."""
    for part in ast.walk(expression):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.MatMult):
            return True
        if isinstance(part, ast.Call):
            called = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
            if called in _PRODUCTS:
                return True
        if isinstance(part, ast.Name) and _OF_SCORES.search(part.id):
            return True
    return False
