"""A forward that is given the tables of rotary positions: in which form, and under which declaration it is exactly right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from mhsa.introspect.calls.call_returns import returns_with_some_mask
from mhsa.introspect.readings.fit import fits
from mhsa.oracle.formula.fields import Rotary
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.rotary_tables import FIRST, PLACES, TABLES, Form, forms, usual_layout
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.subject import Subject


def read_tables(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives with tables in the first form with which the subject is exactly right, else the usual one.

    Raises:
        SubjectError: what ``read`` raises.
        Question: a table must be given, and no rotation is declared; the declaration has all under which it is exactly right.
    """
    if not isinstance(adapter, ModuleAdapter):
        return read(adapter)
    if not adapter.signature.rotary:
        return _read_optional(adapter, read)
    if adapter.contract.rotary is not None:
        return _in_some_form(adapter, read)
    declaration = _fitting(adapter, read) or {"rotary": usual_layout(adapter.signature.rotary)}
    raise _question(adapter, declaration)


def _read_optional(adapter: ModuleAdapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives with tables that may be left out.

    Where a rotation is declared and the module does not rotate without them, they are given. One that makes its own is judged
    with these, right or wrong: that is how it is called where nobody says more.

    Raises:
        Question: without them every call raises, and with them it is exactly right.
    """
    signature = adapter.signature
    optional = tuple(name for name in signature.not_given if name in TABLES)
    if not optional:
        return read(adapter)
    left = tuple(name for name in signature.not_given if name not in optional)
    given = adapter.with_signature(replace(signature, rotary=optional, not_given=left))
    if adapter.contract.rotary is not None:
        own = _read_alone(adapter, read)
        return own if own is not None and (fits(own) or not _is_unrotated(adapter, read)) else _in_some_form(given, read)
    try:
        return read(adapter)
    except Question as question:
        if not question.declaration and (declaration := _fitting(given, read)):
            raise _question(given, declaration) from None
        raise


def _read_alone(adapter: ModuleAdapter, read: Callable[[Adapter], Subject]) -> Subject | None:
    """Return the subject that is given no tables; None where it cannot be read so."""
    try:
        return read(adapter)
    except SubjectError:
        return None


def _is_unrotated(adapter: ModuleAdapter, read: Callable[[Adapter], Subject]) -> bool:
    """Whether a subject that is given no tables is exactly right without a rotation."""
    plain = copy.copy(adapter)
    plain.contract = replace(adapter.contract, rotary=None)
    alone = _read_alone(plain, read)
    return alone is not None and fits(alone)


def _question(adapter: ModuleAdapter, declaration: dict[str, Any]) -> Question:
    needs = f"forward needs {', '.join(adapter.signature.rotary)}"
    return Question(f"{needs}: it seems to rotate queries and keys by their places", declaration)


def _fitting(adapter: ModuleAdapter, read: Callable[[Adapter], Subject]) -> dict[str, Any]:
    """Return the declaration under which a subject that is given tables is exactly right; empty where there is none."""
    usual = usual_layout(adapter.signature.rotary)
    layouts: list[Literal["half", "interleaved"]] = [usual, "interleaved" if usual == "half" else "half"]
    for layout in layouts:
        turned = copy.copy(adapter)
        turned.contract = replace(adapter.contract, rotary=Rotary(layout=layout))
        try:
            if fits(_in_some_form(turned, read)):
                return {"rotary": layout}
        except Question as question:
            if question.declaration:
                return {"rotary": layout, **question.declaration}
        except Exception:  # it cannot be read so
            continue
    return {}


def _in_some_form(adapter: ModuleAdapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return the subject with the first form of its tables that fits, else with the first one that can be called."""
    names = [name for name in adapter.signature.rotary if name not in PLACES | FIRST]
    if not names:
        return read(adapter)
    kept: Subject | None = None
    failed: SubjectError | None = None
    for form in forms(names):
        other = copy.copy(adapter)
        other.rotary_form = form
        if not _is_taken(other):
            continue
        try:
            subject = read(other)
        except SubjectError as error:
            if isinstance(error, Question) and error.declaration:  # under which it is exactly right
                raise
            failed = failed or error
            continue
        if fits(subject):
            said = Understood("call", f"{' and '.join(names)}: {form.words}", "fitted")
            return replace(subject, understood=(*subject.understood, said)) if _is_unusual(form, names) else subject
        kept = kept or subject
    if kept is not None:
        return kept
    if failed is not None:
        raise failed
    return read(adapter)


def _is_unusual(form: Form, names: list[str]) -> bool:
    return form != next(forms(names))


def _is_taken(adapter: ModuleAdapter) -> bool:
    """Whether a plain call returns, without a mask or with one that hides nothing, in the usual sizes."""
    sizes = first_sizes(adapter)
    try:
        module = in_eval_mode(adapter.build(sizes.head, sizes.d_model).double())
    except Exception:  # it will be raised again, and reported
        return True
    return returns_with_some_mask(Caller(adapter, adapter.contract), module, *generic_tensors(adapter))
