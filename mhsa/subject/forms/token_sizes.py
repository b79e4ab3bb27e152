"""Arguments of a call that are sizes, whose product is the number of tokens: rows and columns of a picture, frames, (H, W)."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from mhsa.records.names import HEAD, is_called
from mhsa.source.written_code import nodes_of
from mhsa.subject.forms.handed_on import given_in, handed_on, name_of_call
from mhsa.subject.forms.needless_arguments import HEIGHT_OF_PICTURE, PICTURE, WIDTH_OF_PICTURE, Given
from mhsa.subject.forms.required_switches import DEPTH

Sizes = tuple[tuple[str, int], ...]  # arguments, with how many numbers each holds
NUMBER = 0  # entries of what is a number itself
_SHAPING = {"view", "reshape", "unflatten", "rearrange", "repeat", "expand", "range", "arange", "int", "zeros", "ones", "chunk",
            "split", "unfold", "repeat_interleave", "prod", "sqrt", "empty"}  # fmt: skip
_TENSORS = {"reshape", "unflatten", "rearrange", "repeat", "chunk", "split", "unfold", "repeat_interleave", "prod", "sqrt",
            "reduce", "view"}  # fmt: skip
# Names of the size of a picture or its rows and columns; frames and the like may well be those of the batch.
_NAMED = re.compile(
    r"(.*_)?([dthw]{2,3}|(d|t)?hw|spatial|resolution|grid)(_?(shapes?|sizes?|resolution))?|((n|num|patch(es)?|grid|feat|x|img)_?)?"
    r"(h|w|height|width|rows?|cols?|columns?|shapes?|sizes?)(_patch(es)?)?",
    re.IGNORECASE,
)
# A name of two numbers that is not all used, as _ of (H, _), is none of the sizes that are seen.
_UNUSED = "_"


def entries(function: Callable[..., Any], name: str, depth: int = DEPTH) -> int | None:
    """Return how many sizes a function's argument holds, :data:`NUMBER` for a size itself; None where the source shows neither.

    A size is what tensors are reshaped by, or what numbers are divided by without a rest; a tensor, which is called by its
    methods or given to layers, is none.
    """
    function = inspect.unwrap(function)
    try:
        nodes = nodes_of(function)
    except (OSError, TypeError, SyntaxError):
        return None
    return _SizesInSource(function, nodes, depth).entries(name)


def sizes_among(forward: Callable[..., Any], more: Mapping[str, Given], nameless: Sequence[str]) -> tuple[Sizes, list[str]]:
    """Return the required arguments that are sizes, and those of them whose names do not say so."""
    picture = (HEIGHT_OF_PICTURE, WIDTH_OF_PICTURE, PICTURE)
    found = {n: (entries(forward, n) or 2) if more[n] is PICTURE else 0 for n in more if more[n] in picture}
    shown = {n: count for n in nameless if (count := entries(forward, n)) is not None}
    if len(shown) == 1 and is_called(next(iter(shown)), HEAD):  # nh may be a height, but next to a width alone
        shown = {}
    order = [n for n in inspect.signature(forward).parameters if n in found or n in shown]
    return tuple((n, (found | shown)[n]) for n in order), [n for n in shown if not is_named_size(n)]


def is_named_size(name: str) -> bool:
    """Whether a name says that an argument is the size of a picture, or its rows or columns."""
    return _NAMED.fullmatch(name) is not None


class _SizesInSource:
    def __init__(self, function: Callable[..., Any], nodes: Sequence[ast.AST], depth: int) -> None:
        self._function, self._nodes, self._depth = function, nodes, depth
        self._calls = [node for node in nodes if isinstance(node, ast.Call)]

    def entries(self, name: str) -> int | None:
        if any(isinstance(node, ast.Attribute) and _is(node.value, name) for node in self._nodes):
            return None
        unpacked = [
            target.elts
            for node in self._nodes
            if isinstance(node, ast.Assign) and _is(node.value, name)
            for target in node.targets
            if isinstance(target, (ast.Tuple, ast.List))
        ]
        for elements in unpacked:
            names = [x.id for x in elements if isinstance(x, ast.Name)]
            if len(names) == len(elements) and any(self._is_size(n) for n in names if n != _UNUSED):
                return len(names)
        items = {
            node: node.slice.value
            for node in self._nodes
            if isinstance(node, ast.Subscript) and _is(node.value, name) and isinstance(node.slice, ast.Constant)
        }
        numbers = [n for n in items.values() if isinstance(n, int)]
        if items and len(numbers) == len(items) and self._are_sizes(items):
            return max(2, *(n + 1 for n in numbers))
        if any(isinstance(node, ast.Starred) and _is(node.value, name) for call in self._calls for node in call.args):
            return 2
        if self._is_size(name):
            return NUMBER
        taken = [handed_on(self._function, call, x) for call in self._calls for x in given_in(call) if _is(x, name)]
        found = {entries(*each, self._depth - 1) for each in taken if each is not None and self._depth > 0}
        return found.pop() if len(found) == 1 and None not in found else None

    def _are_sizes(self, items: Collection[ast.AST]) -> bool:
        """Whether tensors are reshaped by one of these items: what is only added or multiplied may be a tensor."""
        by = [x for call in self._calls if _is_shaping(call) for x in given_in(call)]
        by += [node for node in self._nodes if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.FloorDiv, ast.Mod))]
        if any(part in items for x in by for part in ast.walk(x)):
            return True
        kept = [node for node in self._nodes if isinstance(node, ast.Assign) and node.value in items]
        return any(isinstance(target, ast.Name) and self._is_size(target.id) for node in kept for target in node.targets)

    def _is_size(self, name: str) -> bool:
        """Whether a name is a number that tensors are reshaped by, and no tensor."""
        if any(isinstance(node, ast.Attribute) and _is(node.value, name) for node in self._nodes):
            return False
        if any(call.args and _is(call.args[0], name) and _shapes_its_first(call) for call in self._calls):
            return False
        shaped = any(_is_shaping(call) and any(_mentions(x, name) for x in given_in(call)) for call in self._calls)
        divided = any(
            isinstance(node, ast.BinOp) and isinstance(node.op, (ast.FloorDiv, ast.Mod)) and _mentions(node, name)
            for node in self._nodes
        )
        given = [call for call in self._calls if any(_is(x, name) for x in given_in(call)) and not _is_shaping(call)]
        layers = [call for call in given if handed_on(self._function, call, _first(call, name)) is None]
        return (shaped or divided) and not layers


def of_sizes(sizes: Sizes, tokens_at: int = -1) -> dict[str, Given]:
    """Return what arguments that are sizes are given: 1 each, and the number of tokens at one place of them all.

    Args:
        sizes: the arguments, with the numbers that each holds.
        tokens_at: which of all the numbers is that of the tokens.
    """
    total = sum(max(count, 1) for _, count in sizes)
    at, first, found = tokens_at % max(total, 1), 0, {}
    for name, count in sizes:
        mine = range(first, first + max(count, 1))
        found[name] = _given(len(mine), at - first if at in mine else None, as_number=count == NUMBER)
        first += len(mine)
    return found


def places(sizes: Sizes) -> range:
    """Return the places at which the number of tokens may be, the usual one, the last, left out."""
    return range(sum(max(count, 1) for _, count in sizes) - 1)


def _given(count: int, at: int | None, *, as_number: bool) -> Given:
    def value(query: Tensor) -> Any:
        held = tuple(query.size(1) if n == at else 1 for n in range(count))
        return held[0] if as_number else held

    shown = ["T" if n == at else "1" for n in range(count)]
    return Given(value, shown[0] if as_number else f"({', '.join(shown)})")


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


def _first(call: ast.Call, name: str) -> ast.expr:
    return next(x for x in given_in(call) if _is(x, name))


def _shapes_its_first(call: ast.Call) -> bool:
    """Whether a call is one of a function that reshapes its first argument: torch.chunk(x, 2), einops.rearrange(x, ...)."""
    if isinstance(call.func, ast.Attribute):
        of_a_library = isinstance(call.func.value, ast.Name) and call.func.value.id in ("torch", "einops", "F")
        return of_a_library and call.func.attr in _TENSORS
    return isinstance(call.func, ast.Name) and call.func.id in _TENSORS


def _is_shaping(call: ast.Call) -> bool:
    return name_of_call(call) in _SHAPING
