"""An argument that is a bias of the scores by its name, without a declaration: a call with one must be what the name says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.readings.formula.biases import bias_argument, exact_kinds
from mhsa.records.errors import Question, SubjectError
from mhsa.subject.subject import Subject


def with_named_bias(subject: Subject, given: Callable[[], Subject], accepted: Collection[str]) -> Subject:
    """Return a subject that is right without its bias as one that is judged with it, where it takes one of a known form.

    A call with another form is not judged, and the argument is named so.

    Args:
        subject: as it is understood without a bias.
        given: finds out all under the contract bias = "given".
        accepted: what the user accepts as not judged, in the words of the verdict.

    Raises:
        Question: a bias is taken and is not added to the scores; or it has no effect.
    """
    name = bias_argument(subject.adapter)
    words = f"argument {name}"
    if not name or subject.contract.bias is not None or words not in subject.not_judged or words in accepted:
        return subject
    if not fits(subject):
        return subject
    try:
        other = given()
    except SubjectError:  # no form of a bias is taken
        return subject
    if exact_kinds(other):
        new = [each.part == "bias" or (each.part == "formula" and each not in subject.understood) for each in other.understood]
        known = [replace(e, known="named") if is_new else e for e, is_new in zip(other.understood, new, strict=True)]
        return replace(other, understood=tuple(known))
    raise Question(
        f"{words} is a bias of the scores by its name, and a call with one is not attention with it added to the scores. If it "
        f'must be, that is wrong, which bias = "given" declares; not_judged = ["{words}"] accepts that nothing tries it',
        {"bias": "given"},
    )
