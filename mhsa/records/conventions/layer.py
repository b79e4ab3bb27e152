"""What a whole layer makes of its inputs and its attention, as a formula: ``x + attention(norm(x))``.

``x`` is the layer's first input, ``y`` and ``z`` are the next ones, ``norm`` is any norm, ``map`` a linear map in front of the
attention, and ``feed_forward`` all that follows from a linear map after the attention until the layer's output.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

INPUTS = ("x", "y", "z")
FUNCTIONS = ("norm", "map", "attention", "feed_forward")
# Where a term stands in a sum: inputs first, then in the order of a forward pass.
_PLACES = (*INPUTS, *FUNCTIONS)
EXAMPLES = "'x + attention(norm(x))' or 'norm(x + attention(x))'"


@dataclass(frozen=True)
class Term:
    """An input, or a function of a sum."""

    name: str
    argument: Sum | None = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}({self.argument})"


@dataclass(frozen=True)
class Sum:
    """One term or more, in a fixed order; a term that is added twice is there twice."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def holds(self, name: str) -> bool:
        """Whether a function is among its terms, or within a norm that is."""
        return any(
            t.name == name or (t.name == "norm" and t.argument is not None and t.argument.holds(name)) for t in self.terms
        )

    def within(self) -> Iterator[Sum]:
        """Yield it, and all sums in it."""
        yield self
        for term in self.terms:
            if term.argument is not None:
                yield from term.argument.within()


def sum_of(*terms: Term) -> Sum:
    """Return a sum with its terms in order."""
    return Sum(tuple(sorted(terms, key=lambda t: (_PLACES.index(t.name), str(t)))))


def function(name: str, argument: Sum) -> Sum:
    """Return a function of a sum."""
    return Sum((Term(name, argument),))


def layer_of(text: str) -> Sum:
    """Return the formula that a contract declares.

    Raises:
        ValueError: it is none.
    """
    try:
        return _read(ast.parse(str(text).strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        raise ValueError(
            f"Contract(layer={text!r}); must be a sum of {', '.join(INPUTS)} (the layer's inputs, the first is x) and of "
            f"{', '.join(f'{name}(...)' for name in FUNCTIONS)}, say {EXAMPLES}"
        ) from None


def _read(node: ast.expr) -> Sum:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return sum_of(*_read(node.left).terms, *_read(node.right).terms)
    if isinstance(node, ast.Name) and node.id in INPUTS:
        return Sum((Term(node.id),))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords:
        (argument,) = node.args
        return function(node.func.id, _read(argument))
    raise ValueError(ast.dump(node))


def mistake_in(layer: Sum) -> str:
    """Return what nobody means: a term added twice, or a residual around a feed-forward that lacks a part of its input."""
    for each in layer.within():
        twice = next((term for term, count in Counter(each.terms).items() if count > 1), None)
        if twice is not None:
            return f"{twice} is added twice"
        for term in each.terms:
            if term.name != "feed_forward" or term.argument is None:
                continue
            stream, residual = _without_norm(term.argument), set(each.terms) - {term}
            if stream.holds("attention") and residual and residual < set(stream.terms):
                added = Sum(tuple(t for t in each.terms if t is not term))
                return f"the residual around the feed-forward is {added}, and the feed-forward is given {term.argument}"
    return ""


def is_usual(layer: Sum) -> bool:
    """Whether it is a residual around the attention, one around any feed-forward, or none, with norms in usual places.

    Norms of what is added stand behind both, the attention and the feed-forward, or behind neither; a sum may have one or not.
    """
    normed = _without_norm(layer)
    fed = [t for t in normed.terms if _bare(t).name == "feed_forward"]
    rest = Sum(tuple(t for t in normed.terms if t not in fed))
    if not fed:
        return _is_around_attention(normed)
    if len(fed) > 1 or not rest.terms:
        return False
    (argument,) = (_bare(t).argument for t in fed)
    assert argument is not None
    if _without_norm(argument) == Sum((Term("x"),)):  # next to the attention
        return _is_around_attention(rest)
    stream = _without_norm(rest)
    if not _is_around_attention(stream) or rest not in (argument, _without_norm(argument)):
        return False
    return any(_bare(t) != t for t in stream.terms) == (fed[0] != _bare(fed[0]))


def _is_around_attention(layer: Sum) -> bool:
    """Whether it is what the attention gives, alone or with the layer's first input.

    A norm of what it gives is usual, too, but not where it stands in the place of one of the sum.
    """
    given = [t for t in layer.terms if _bare(t).name == "attention"]
    rest = [t for t in layer.terms if t not in given]
    if len(given) != 1 or rest not in ([], [Term("x")]):
        return False
    argument = _bare(given[0]).argument
    return not rest or given[0] == _bare(given[0]) or (argument is not None and argument != _without_norm(argument))


def _bare(term: Term) -> Term:
    """Return the term that a norm is of, where there is one; the term itself elsewhere."""
    only = term.argument.terms if term.name == "norm" and term.argument is not None else ()
    return only[0] if len(only) == 1 else term


def _without_norm(layer: Sum) -> Sum:
    only = layer.terms[0]
    return only.argument if len(layer.terms) == 1 and only.name == "norm" and only.argument is not None else layer
