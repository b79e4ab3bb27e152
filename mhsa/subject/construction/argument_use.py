"""What a constructor does with an argument, or an attribute of its configuration, whose name says nothing: by its source."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mhsa.records.names import HEAD, is_called
from mhsa.source.written_code import nodes_of, parsed_owners, statements_of
from mhsa.subject.construction.by_source.argument_nodes import is_argument, kept_as
from mhsa.subject.construction.by_source.closed_sets import listed_words
from mhsa.subject.construction.by_source.collected_arguments import Keys, keys_of
from mhsa.subject.construction.by_source.heads_by_use import SIZED, divides, made_with, named_otherwise, splits
from mhsa.subject.construction.by_source.number_sequences import entries_of

_TRIANGLES = {"tril", "triu", "tril_indices", "triu_indices", "tri"}
_FILLED = {"ones", "zeros", "full"}


@dataclass(frozen=True)
class Use:
    """How an argument is used.

    Attributes:
        width: layers or parameters are made with it.
        square: a triangle of as many rows is made with it, as a causal mask is.
        epsilon: a normalisation takes it as its epsilon.
        rate: a dropout takes it.
        switch: it is used as a condition.
        only_switch: it is used as nothing else.
        groups: a normalisation makes so many groups of features.
        called: it is called, or what keeps it is.
        makes: it is called without arguments, and so makes what is called.
        divides: a width is divided by it, as by a number of heads, or features are reshaped into so many heads.
        width_of_head: a number of heads is what something is divided by it.
        read: the attributes and items of it that are read, as those of a configuration are.
        stored: it is kept as an attribute, of which nothing is made.
        words: the strings that it is compared with, in the order of the source.
        keys: where it is a dict, what may be in it.
        entries: how many numbers it is a sequence of, 0 where it is none.
        names: what the source calls it elsewhere: ``self.num_heads = config.x``.
    """

    width: bool = False
    square: bool = False
    epsilon: bool = False
    rate: bool = False
    switch: bool = False
    only_switch: bool = False
    groups: bool = False
    called: bool = False
    makes: bool = False
    divides: bool = False
    width_of_head: bool = False
    read: tuple[str, ...] = ()
    stored: bool = False
    words: tuple[str, ...] = ()
    keys: tuple[Keys, ...] = ()
    entries: int = 0
    names: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the source shows one of these uses."""
        return self != Use()


def use_of(target: Any, name: str, parameter: inspect.Parameter | None = None) -> Use:
    """Return how a class (with its bases) or function uses what it is given as ``name``, or reads as ``config.name``.

    ``parameter`` is it, if it is an argument.
    """
    name = as_written(target, name)
    nodes = [node for owner in parsed_owners(target) for node in nodes_of(owner)]
    names = {name} | {attr for node in nodes for attr in kept_as(node, name)}
    tests = [test for node in nodes for test in _tests(node)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    sized = made_with(nodes)
    return Use(
        width=any(_is_sized(call, names) for call in calls),
        square=any(_mentions(x, names | _sized_by(nodes, names)) for call in calls for x in _of_triangle(call)),
        epsilon=any(is_argument(x, names) for call in calls for x in _epsilons(call)),
        rate=any("dropout" in _called(call).lower() and any(_mentions(x, names) for x in _given(call)) for call in calls),
        switch=any(is_argument(test, names) for test in tests),
        only_switch=bool(tests) and _is_tested_alone(nodes, tests, name, names),
        groups=any(is_argument(x, names) for call in calls for x in _groups(call)),
        called=any(is_argument(call.func, names) and not _is_method(call.func, name) for call in calls),
        makes=any(isinstance(call.func, ast.Name) and call.func.id == name and not _given(call) for call in calls),
        divides=any(divides(node, names, sized) or splits(node, names) for node in nodes),
        width_of_head=any(_makes_heads(node, names) for node in nodes),
        read=tuple(dict.fromkeys(read for node in nodes if (read := _read(node, names)) is not None)),
        stored=_is_stored(nodes, name, names),
        words=tuple(
            dict.fromkeys([*(w for node in nodes for w in _words(node, names)), *listed_words(target, parameter, nodes, names)])
        ),
        keys=tuple(keys_of(target, nodes, names)),
        entries=entries_of(nodes, names),
        names=named_otherwise(nodes, name),
    )


def counts_heads(target: Any) -> bool:
    """Whether the source of a class or function has a number of heads, by its name."""
    nodes = [node for owner in parsed_owners(target) for node in nodes_of(owner)]
    return any(is_called(_name(node), HEAD) for node in nodes)


def is_multiplied(target: Any, name: str, other: str) -> bool:
    """Whether a class multiplies what it is given as ``name`` by what it is given as ``other``, a width by heads, say."""
    found = [statements_of(owner) for owner in parsed_owners(target)]
    products = [product for _, of_owner in found for product in of_owner]
    if not products:
        return False
    kept = [node for assignments, _ in found for node in assignments]
    one, two = ({n} | {attr for node in kept for attr in kept_as(node, n)} for n in (as_written(target, name), other))
    return any(
        (is_argument(p.left, one) and is_argument(p.right, two)) or (is_argument(p.left, two) and is_argument(p.right, one))
        for p in products
    )


def as_written(target: Any, name: str) -> str:
    """Return the name of a parameter as it stands in the source: Python turns __C of a class Layer into _Layer__C."""
    for owner in inspect.getmro(target) if inspect.isclass(target) else ():
        prefix = f"_{owner.__name__.lstrip('_')}"
        if name.startswith(f"{prefix}__"):
            return name.removeprefix(prefix)
    return name


def _is_stored(nodes: list[ast.AST], name: str, names: set[str]) -> bool:
    """Whether all that the source has of the argument are assignments to attributes: each names it twice."""
    kept = [node for node in nodes if kept_as(node, name)]
    named = sum(is_argument(node, names) for node in nodes if isinstance(node, ast.expr))
    return bool(kept) and named == sum(1 + len(kept_as(node, name)) for node in kept)


def _is_tested_alone(nodes: list[ast.AST], tests: list[ast.expr], name: str, names: set[str]) -> bool:
    """Whether all that the source has of the argument are conditions, and assignments that keep it."""
    named = [node for node in nodes if isinstance(node, ast.expr) and is_argument(node, names)]
    kept = sum(1 + len(attributes) for node in nodes if (attributes := kept_as(node, name)))
    return bool(named) and len(named) == kept + sum(is_argument(test, names) for test in tests)


def _read(node: ast.AST, names: set[str]) -> str | None:
    """Return the attribute or item of the argument that a node is."""
    if isinstance(node, ast.Attribute) and is_argument(node.value, names):
        return node.attr
    if isinstance(node, ast.Subscript) and is_argument(node.value, names) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value) if isinstance(node.slice.value, str) else None
    return None


def _mentions(node: ast.expr, names: set[str]) -> bool:
    return any(isinstance(part, ast.expr) and is_argument(part, names) for part in ast.walk(node))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _of_triangle(call: ast.Call) -> list[ast.expr]:
    """Return what a triangle is made of: tril(ones), ones.tril()."""
    if _called(call) not in _TRIANGLES:
        return []
    return [*_given(call), *([call.func.value] if isinstance(call.func, ast.Attribute) else [])]


def _sized_by(nodes: list[ast.AST], names: set[str]) -> set[str]:
    """Return the variables that hold a tensor of constants whose sizes are the argument: ones = torch.ones(n, n)."""
    filled = [
        node
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _called(node.value) in _FILLED
        if any(_mentions(x, names) for x in _given(node.value))
    ]
    return {target.id for node in filled for target in node.targets if isinstance(target, ast.Name)}


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _is_method(function: ast.expr, name: str) -> bool:
    """Whether what is called is a method of the same name as the argument, of something else than the module."""
    return isinstance(function, ast.Attribute) and not (isinstance(function.value, ast.Name) and function.value.id == "self")


def _epsilons(call: ast.Call) -> list[ast.expr]:
    second = call.args[1:2] if _called(call).lower().endswith(("layernorm", "rmsnorm", "layer_norm", "rms_norm")) else []
    return [*second, *(k.value for k in call.keywords if k.arg in ("eps", "epsilon"))]


def _groups(call: ast.Call) -> list[ast.expr]:
    first = call.args[:1] if _called(call).lower().replace("_", "") == "groupnorm" else []
    return [*first, *(k.value for k in call.keywords if k.arg == "num_groups")]


def _is_sized(call: ast.Call, names: set[str]) -> bool:
    if not SIZED.search(_called(call)):
        return False
    taken = [*call.args, *(k.value for k in call.keywords if k.arg not in ("eps", "epsilon", "bias", "device", "dtype", "p"))]
    return any(_mentions(x, names) for x in taken if x not in _epsilons(call))


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, (ast.If, ast.IfExp)):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.keyword) and node.arg == "bias":
        yield node.value
    elif isinstance(node, ast.Compare) and all(isinstance(x, ast.Constant) and type(x.value) is bool for x in node.comparators):
        yield node.left  # kq_same is False


def _makes_heads(node: ast.AST, names: set[str]) -> bool:
    """Whether an assignment gives something called a number of heads what is divided by the argument."""
    if not isinstance(node, ast.Assign) or not any(is_called(_name(target), HEAD) for target in node.targets):
        return False
    whole = isinstance(node.value, ast.Call) and _called(node.value) == "int"  # int(dim / head_dim)
    value = node.value.args[0] if isinstance(node.value, ast.Call) and whole and node.value.args else node.value
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.FloorDiv | ast.Div) and is_argument(value.right, names)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _words(node: ast.AST, names: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Compare) and _mentions(node.left, names):
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value not in names:
                yield part.value
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict) and _mentions(node.slice, names):
        yield from (k.value for k in node.value.keys if isinstance(k, ast.Constant) and isinstance(k.value, str))
