"""What a layer makes of its inputs and its attentions, as a formula: ``a = x + attention(norm(x)); a + feed_forward(norm(a))``.

``x`` is the layer's first input, ``y`` and ``z`` are the next ones, ``norm`` is any norm, ``map`` a linear map in front of the
attention, ``attention(x, y)`` one whose keys and values are those of ``y``, ``sublayer`` a part that a wrapper is given,
``scale`` a learned factor of what one of these gives, and ``feed_forward`` anything else that a map follows in. Sums that
stand in a formula more than once may have names: ``a``, ``b``.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

INPUTS = ("x", "y", "z")
FUNCTIONS = ("norm", "map", "attention", "sublayer", "scale", "feed_forward")
ATTENTIONS = ("attention", "sublayer")  # what a residual is around; a wrapper does not know what it is given
_KEEP = ("norm", "scale")  # what they are of is added all the same
MOST_ARGUMENTS = {"attention": 3}
# Where a term stands in a sum: inputs first, then in the order of a forward pass.
_PLACES = (*INPUTS, *FUNCTIONS)
_NAMES = "abcdefgh"
ALONE = "attention(x)"  # of an attention with nothing around it
BETWEEN = " | "  # formulas of several layers
EXAMPLES = "'x + attention(norm(x))' or 'a = norm(x + attention(x)); norm(a + feed_forward(a))'"


@dataclass(frozen=True)
class Term:
    """An input, or a function of sums: queries, keys and values of an attention, where these differ."""

    name: str
    arguments: tuple[Sum, ...] = ()

    @property
    def argument(self) -> Sum | None:
        """What the function is of: the queries, of an attention."""
        return self.arguments[0] if self.arguments else None

    def __str__(self) -> str:
        return _written(Sum((self,)), {})


@dataclass(frozen=True)
class Sum:
    """One term or more, in a fixed order; a term that is added twice is there twice."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        named: dict[Sum, str] = {}
        steps = []
        for each in _streams(self, [])[: len(_NAMES)]:
            steps.append(f"{_NAMES[len(named)]} = {_written(each, named)}; ")
            named[each] = _NAMES[len(named)]
        return "".join(steps) + _written(self, named)

    def holds(self, name: str) -> bool:
        """Whether a function is among its terms, or within a norm that is, or scaled."""
        return any(
            t.name == name or (t.name in _KEEP and t.argument is not None and t.argument.holds(name)) for t in self.terms
        )

    def within(self) -> Iterator[Sum]:
        """Yield it, and all sums in it."""
        yield self
        for term in self.terms:
            for argument in term.arguments:
                yield from argument.within()

    def without(self, term: Term) -> Sum:
        """Return it without one term, once."""
        at = self.terms.index(term)
        return Sum(self.terms[:at] + self.terms[at + 1 :])


def _streams(each: Sum, found: list[Sum]) -> list[Sum]:
    """Return the sums with an attention that a step is given and is added to, the innermost first."""
    for term in each.terms:
        for argument in term.arguments:
            _streams(argument, found)
    for term in each.terms if len(each.terms) > 1 else ():
        rest = each.without(term)
        given = () if term.argument is None else (term.argument, without_norm(term.argument))
        if rest in given and rest not in found and any(map(rest.holds, ATTENTIONS)):
            found.append(rest)
    return found


def _written(each: Sum, named: Mapping[Sum, str]) -> str:
    if each in named:
        return named[each]
    within = next((s for s in reversed(list(named)) if len(s.terms) < len(each.terms) and _has(each, s)), None)
    if within is None:
        return " + ".join(_term(t, named) for t in each.terms)
    rest = each
    for term in within.terms:
        rest = rest.without(term)
    return f"{named[within]} + {_written(rest, named)}"


def _has(each: Sum, part: Sum) -> bool:
    return not Counter(part.terms) - Counter(each.terms)


def _term(term: Term, named: Mapping[Sum, str]) -> str:
    if not term.arguments:
        return term.name
    return f"{term.name}({', '.join(_written(argument, named) for argument in term.arguments)})"


def sum_of(*terms: Term) -> Sum:
    """Return a sum with its terms in order."""
    return Sum(tuple(sorted(terms, key=lambda t: (_PLACES.index(t.name), str(t)))))


def function(name: str, *arguments: Sum) -> Sum:
    """Return a function of sums; keys and values that are those of the query, or values that are the keys, are not said."""
    given = list(arguments)
    while len(given) > 1 and given[-1] == given[-2]:
        given.pop()
    return Sum((Term(name, tuple(given)),))


def in_short(layer: Sum) -> Sum:
    """Return a formula without the keys of its attention, where it has one, and keys are other inputs as they are."""
    found = {term for each in layer.within() for term in each.terms if term.name == "attention"}
    (term, *more) = found or {Term("attention")}
    keys = [k.terms[0] for k in term.arguments[1:] if len(k.terms) == 1 and not k.terms[0].arguments]
    given = {t for each in (term.argument.within() if term.argument is not None else ()) for t in each.terms}
    plain = not more and len(keys) == len(term.arguments[1:]) and given.isdisjoint(keys)
    return _without_keys(layer) if plain else layer


def _without_keys(each: Sum) -> Sum:
    terms = (
        Term(t.name, tuple(map(_without_keys, t.arguments[:1] if t.name == "attention" else t.arguments))) for t in each.terms
    )
    return Sum(tuple(terms))


def formulas_of(text: str) -> list[Sum]:
    """Return the formulas that a contract declares: of a file with several layers, one for each of them, with | between them.

    Raises:
        ValueError: one of them is none.
    """
    return [layer_of(part) for part in str(text).split(BETWEEN.strip())]


def as_text(formulas: Iterable[Sum]) -> str:
    """Return formulas as a contract declares them, each once."""
    return BETWEEN.join(dict.fromkeys(map(str, formulas)))


def layer_of(text: str) -> Sum:
    """Return one formula.

    Raises:
        ValueError: it is none.
    """
    try:
        *steps, last = ast.parse(str(text).strip()).body
        named: dict[str, Sum] = {}
        for step in steps:
            if not isinstance(step, ast.Assign) or not isinstance(step.targets[0], ast.Name) or len(step.targets) > 1:
                raise ValueError(ast.dump(step))
            if step.targets[0].id not in _NAMES:
                raise ValueError(step.targets[0].id)
            named[step.targets[0].id] = _read(step.value, named)
        if not isinstance(last, ast.Expr):
            raise ValueError(ast.dump(last))
        return in_short(_read(last.value, named))
    except (SyntaxError, ValueError):
        functions = (f"{name}({', '.join(['...'] * MOST_ARGUMENTS.get(name, 1))})" for name in FUNCTIONS)
        raise ValueError(
            f"Contract(layer={text!r}); must be a sum of {', '.join(INPUTS)} (the layer's inputs, the first is x) and of "
            f"{', '.join(functions)}, say {EXAMPLES}"
        ) from None


def _read(node: ast.expr, named: Mapping[str, Sum]) -> Sum:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return sum_of(*_read(node.left, named).terms, *_read(node.right, named).terms)
    if isinstance(node, ast.Name) and node.id in named:
        return named[node.id]
    if isinstance(node, ast.Name) and node.id in INPUTS:
        return Sum((Term(node.id),))
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if isinstance(node, ast.Call) and called in FUNCTIONS and not node.keywords:
        if not 1 <= len(node.args) <= MOST_ARGUMENTS.get(called, 1):
            raise ValueError(called)
        return function(called, *(_read(argument, named) for argument in node.args))
    raise ValueError(ast.dump(node))


def bare(term: Term) -> Term:
    """Return the term that norms and scales are of, where there are any; the term itself elsewhere."""
    return _inner(term, _KEEP)


def unscaled(term: Term) -> Term:
    """Return the term that is scaled, where one is; the term itself elsewhere."""
    return _inner(term, ("scale",))


def _inner(term: Term, names: Collection[str]) -> Term:
    only = term.argument.terms if term.name in names and term.argument is not None else ()
    return _inner(only[0], names) if len(only) == 1 else term


def without_norm(layer: Sum) -> Sum:
    """Return what a norm is of, where that is all; else the sum itself."""
    only = layer.terms[0]
    return only.argument if len(layer.terms) == 1 and only.name == "norm" and only.argument is not None else layer
