"""Which formulas of layers are usual, and which of them nobody means.

A layer is a chain of attentions and feed-forwards, each with a residual around it: ``s + f(s)``, with norms of what goes in, of
what comes out, of the sum, or several of these, alike in all steps. What a step gives may be scaled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mhsa.records.conventions.layer import ATTENTIONS, INPUTS, Sum, Term, bare, unscaled, without_norm

_STEPS = (*ATTENTIONS, "feed_forward")


def mistake_in(layer: Sum) -> str:
    """Return what nobody means: a term added twice, or a residual around a step that lacks a part of what the step is given."""
    for each in layer.within():
        twice = next((term for term, count in Counter(each.terms).items() if count > 1), None)
        if twice is not None:
            return f"{twice} is added twice"
        for name, words in (("norm", "before a norm"), ("scale", "scaled")):
            outer = [t.argument for t in each.terms if t.name == name and t.argument is not None]
            within = {t for argument in outer for t in argument.terms}
            again = next((term for term in each.terms if unscaled(term).name in _STEPS and term in within), None)
            if again is not None:
                return f"{again} is added twice, once {words}"
        for added_step in each.terms:
            term = unscaled(added_step)
            if term.name not in _STEPS or term.argument is None:
                continue
            stream, added = without_norm(term.argument), each.without(added_step)
            residual = set(added.terms)
            if any(map(stream.holds, ATTENTIONS)) and residual and residual < set(stream.terms):
                named = "feed-forward" if term.name == "feed_forward" else term.name
                return f"the residual around the {named} is {added}, and the {named} is given {term.argument}"
    return ""


def is_usual(layer: Sum) -> bool:
    """Whether it is a residual around each of its attentions and feed-forwards, or none around the first attention.

    Norms of what is added stand behind all of them, or behind none; and either in front of steps or behind the sum of one
    that others follow: the last sum may have one in any case.
    """
    norms = _Norms()
    usual = any(map(layer.holds, ATTENTIONS)) and _is_stream(without_norm(layer), norms)
    return usual and len(set(norms.of_added)) < 2 and not (any(norms.before) and any(norms.of_sums))


@dataclass
class _Norms:
    """Of each step whether what it adds is normed, whether what it is given is, and whether the sum before it is."""

    of_added: list[bool] = field(default_factory=list)
    before: list[bool] = field(default_factory=list)
    of_sums: list[bool] = field(default_factory=list)


def _is_stream(stream: Sum, norms: _Norms) -> bool:
    """Whether a sum is an input that went through usual steps, of whose norms it takes note."""
    if len(stream.terms) == 1 and _is_start(stream):
        return True
    for term in stream.terms:
        step = bare(term)
        if step.name not in _STEPS or step.argument is None or not _has_usual_keys(step):
            continue
        given = without_norm(step.argument)
        if len(stream.terms) == 1:  # without a residual
            return step.name in ATTENTIONS and _is_start(given)
        rest = stream.without(term)
        if rest in (step.argument, given) and not (_is_start(rest) and rest != without_norm(rest)):
            norms.of_added.append(unscaled(term) != step)
            norms.before.append(rest != step.argument)
            norms.of_sums.append(rest != without_norm(rest))
            return (unscaled(term) == step or step.argument != given) and _is_stream(without_norm(rest), norms)
        others = [t for t in rest.terms if bare(t).name in ATTENTIONS]
        if step.name == "feed_forward" and len(others) == 1 and rest == Sum((*given.terms, *others)):  # next to the attention
            norms.of_added.append(unscaled(term) != step)
            return _is_stream(rest, norms)
    return False


def _is_start(given: Sum) -> bool:
    """Whether it is an input, as it is or with norms and maps of its own."""
    if len(given.terms) != 1 or given.terms[0].name in ATTENTIONS:
        return False
    argument = given.terms[0].argument
    return argument is None or _is_start(argument)


def _has_usual_keys(step: Term) -> bool:
    """Whether keys and values are the queries, or another input, both as it is, or both with a norm."""
    keys = step.arguments[1:]
    assert step.argument is not None
    of_queries = _inputs_of(step.argument)
    return (
        all(_is_start(k) and not _inputs_of(k) & of_queries for k in keys)
        and len({sum(1 for _ in k.within()) for k in keys}) < 2
    )


def _inputs_of(given: Sum) -> set[str]:
    """Return the names of inputs that are in a stream, but for those that are keys alone."""
    inner = [t.argument for t in given.terms if t.argument is not None]
    return {t.name for t in given.terms if t.name in INPUTS}.union(*map(_inputs_of, inner))
