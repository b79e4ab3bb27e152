"""Readings of a constructor: a parameter that is named after the width of a head and is the number of heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from mhsa.introspect.readings.fit import Fit
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

Understand = Callable[[Adapter], Subject]
AsHead = Callable[[str], Adapter]


def read_constructor(adapter: Adapter, understand: Understand, as_head: AsHead) -> Subject:
    """Understand a subject by the names of its constructor's parameters, else with one of them taken for the number of heads.

    Args:
        adapter: by the names.
        understand: finds out the rest.
        as_head: makes the adapter in which a parameter is the number of heads.

    Raises:
        SubjectError: what was understood by the names cannot be judged, and no other reading fits.
        Question: likewise; or another reading fits, and leaves something to be declared.
    """
    may_be = adapter.constructor.may_be_head if isinstance(adapter, ModuleAdapter) and adapter.constructor else ()
    failed: SubjectError | None = None
    subject: Subject | None = None
    try:
        subject = understand(adapter)
    except SubjectError as error:
        failed = error
    if may_be and not (isinstance(failed, Question) and failed.declaration) and not (subject and _fits(subject)):
        found = first_that_fits(may_be, lambda name: understand(as_head(name)), _fits)
        if found is not None:
            name, other = found
            part = Understood("constructor", f"{name} is the number of heads", "fitted")
            return replace(other, understood=(part, *other.understood))
    if failed is not None:
        raise failed
    assert subject is not None
    return subject


def first_that_fits(
    names: Iterable[str], understand: Callable[[str], Subject], fits: Callable[[Subject], bool]
) -> tuple[str, Subject] | None:  # fmt: skip
    """Return the first parameter with which a subject can be read another way and fits, and the subject; None where none does.

    Raises:
        Question: it is exactly attention so, under something that has to be declared.
    """
    for name in names:
        try:
            subject = understand(name)
        except Question as question:
            if question.declaration:
                raise
            continue
        except Exception:  # it cannot be built or called so
            continue
        if fits(subject):
            return name, subject
    return None


def _fits(subject: Subject) -> bool:
    """Whether the output without a mask is exactly right."""
    return Fit().without_mask(replace(subject, device="cpu"))
