"""Weights of every head that are returned with their axes in another order, or scores in their place.

Either is taken where it is the oracle's exactly; scores, of which the softmax is, are a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mhsa.introspect.calls.call_with_mask import call_with_mask
from mhsa.records.errors import Question
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import is_exact
from mhsa.subject.returned import WEIGHTS_FORMS
from mhsa.subject.subject import Subject

_MOST = 6  # of the values returned that are tried: more are a cache, layer by layer


def find_weights_form(subject: Subject) -> Caller:
    """Return the subject's caller, which takes the weights from a value in another form if that fits the oracle exactly.

    The usual form goes first; wrong weights fit in no form, and are reported as before.

    Raises:
        Question: what is returned are the scores before the softmax, which nobody has declared; or they are declared, and
            nothing is returned that they can be.
    """
    usual = [subject.caller] if subject.caller.weights_from is not None else []
    if subject.contract.weights == "scores":
        return _of_declared_scores(subject, [*usual, *_callers(subject.caller)])
    callers = usual or list(_callers(subject.caller))
    weights = next((caller for caller in callers if _is_exact(subject, caller)), None)
    if weights is not None:
        return weights
    if subject.contract.weights is None and _of_scores(subject, callers) is not None:
        raise Question(
            "it is exactly right if it returns the scores, before the softmax, where the weights are usual",
            {"weights": "scores"},
        )
    return subject.caller


def _of_declared_scores(subject: Subject, callers: list[Caller]) -> Caller:
    if not callers:
        raise Question(
            f'{subject.name}: weights = "scores" is declared, but applies to nothing: nothing but the output is returned. '
            "Remove it, or return the scores",
            unused="contract.weights",
        )
    return _of_scores(subject, callers) or subject.caller


def _of_scores(subject: Subject, callers: list[Caller]) -> Caller | None:
    """Return the first of several callers that takes values of which the softmax is the weights."""
    of_scores = (replace(x, contract=replace(x.contract, weights="scores")) for x in callers)
    return next((caller for caller in of_scores if _is_exact(subject, caller)), None)


def _is_exact(subject: Subject, caller: Caller) -> bool:
    """Whether the weights that a caller takes are the oracle's; not where it takes none."""
    try:
        answer = call_with_mask(replace(subject, caller=caller), "none")
    except Exception:  # it is not of this form
        return False
    return answer is not None and answer.weights is not None and is_exact(answer.weights, answer.expected.weights)


def _callers(caller: Caller) -> Iterator[Caller]:
    for at in range(min(_MOST, caller.returns)):
        if at != caller.output_from:
            yield from (replace(caller, weights_from=at, weights_form=form) for form in WEIGHTS_FORMS)
