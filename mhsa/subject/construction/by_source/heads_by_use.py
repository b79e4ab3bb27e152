"""What of a source shows that an argument is a number of heads: a width is divided by it, or features are reshaped with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator

from mhsa.records.names import HEAD, WIDTH, is_called
from mhsa.subject.construction.by_source.argument_nodes import is_argument

# Calls that take a number of features: layers, and tensors made for a parameter.
SIZED = re.compile("(linear|conv[123]?d?|conv_nd|norm|dense|empty|zeros|ones|randn?|tensor)$", re.IGNORECASE)
_LEAST = 4  # axes of heads: samples, tokens, heads, features


def made_with(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that layers and parameters are made with, and what they are kept from: self.width = config.feat."""
    nodes = list(nodes)
    found = {
        name
        for node in nodes
        if isinstance(node, ast.Call) and SIZED.search(called(node))
        for x in (*node.args, *(k.value for k in node.keywords if k.arg not in ("bias", "device", "dtype", "eps")))
        if (name := name_of(x))
    }
    return found | {name_of(value) for kept, value in _assigned(nodes) if kept in found} - {""}


def divides(node: ast.AST, names: Collection[str], sized: Collection[str]) -> bool:
    """Whether an expression is a width divided by the argument, or what is left of it: dim // h, int(dim / h), dim % h.

    A width is what is called so, or what layers are made with.
    """
    whole = isinstance(node, ast.Call) and called(node) == "int" and len(node.args) == 1
    value = node.args[0] if isinstance(node, ast.Call) and whole else node
    kinds = (ast.FloorDiv, ast.Mod, ast.Div) if whole else (ast.FloorDiv, ast.Mod)
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, kinds) or not is_argument(value.right, names):
        return False
    left = name_of(value.left)
    return is_called(left, WIDTH) or left in sized


def splits(node: ast.AST, names: Collection[str]) -> bool:
    """Whether features are reshaped into so many heads: view(b, t, h, -1), unflatten(-1, (h, d)), rearrange(..., h=h)."""
    if not isinstance(node, ast.Call):
        return False
    if called(node) in ("view", "reshape"):
        return any(_axes(shape) >= _LEAST and is_argument(shape[-2], names) for shape in _shapes(node))
    if called(node) == "unflatten":
        return any(len(shape) == 2 and is_argument(shape[0], names) for shape in _shapes(node))
    if called(node) == "rearrange":
        return any(k.arg is not None and is_called(k.arg, HEAD) and is_argument(k.value, names) for k in node.keywords)
    return False


def named_otherwise(nodes: Iterable[ast.AST], name: str) -> tuple[str, ...]:
    """Return what the source calls the argument elsewhere: self.num_heads = config.x, Attention(num_heads=config.x)."""
    nodes = list(nodes)
    given = (k for node in nodes if isinstance(node, ast.Call) for k in node.keywords if k.arg is not None)
    keywords = (str(k.arg) for k in given if is_argument(k.value, {name}))
    kept = (other for other, value in _assigned(nodes) if is_argument(value, {name}))
    return tuple(dict.fromkeys(other for other in (*kept, *keywords) if other != name))


def called(call: ast.Call) -> str:
    """Return the name of what is called; empty where it has none."""
    return name_of(call.func)


def name_of(node: ast.AST) -> str:
    """Return the name of a variable, or the last one of an attribute; of an item, config["x"], its key."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.slice.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _shapes(call: ast.Call) -> list[list[ast.expr]]:
    """Return the sequences of sizes that a call may be given: its arguments, and tuples and lists among them."""
    within = [list(x.elts) for x in call.args if isinstance(x, (ast.Tuple, ast.List))]
    return [list(call.args), *within]


def _axes(shape: list[ast.expr]) -> int:
    """Return the number of axes, at least: *x.shape[:2] are two."""
    return sum(2 if isinstance(x, ast.Starred) else 1 for x in shape)


def _assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names of variables and attributes, and what they are set to, one by one."""
    for node in nodes:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            assert isinstance(node, ast.Assign)
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
                yield from ((name_of(t), x) for t, x in zip(target.elts, node.value.elts, strict=True))
            else:
                yield name_of(target), node.value
