"""A module that seems to rotate or normalise queries and keys, and does not declare it: which of both fits exactly."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.formula.qk_norm import epsilons_to_try, norms_to_try, seems_normed
from mhsa.introspect.readings.formula.undeclared_rotary import candidates, seems_rotary
from mhsa.oracle.formula.fields import QkNorm, Rotary, as_declared
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood, notes_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.subject import Subject


def understand_turned(adapter: Adapter, target: Any, understand: Callable[[Adapter], Subject]) -> Subject:
    """Understand a subject whose source speaks of a rotation or normalisation of queries and keys, which is not declared.

    Args:
        adapter: of the subject.
        target: the class, factory or object that the user named.
        understand: reads it with an adapter.

    Raises:
        Question: it is not right as it stands, and exactly right if queries and keys are rotated, or normalised.
        SubjectError: it cannot be judged, with or without them.
    """
    try:
        subject = understand(adapter)
        if Fit().without_mask(subject):
            return subject
        said: SubjectError | None = None
    except SubjectError as error:
        said = error
        if isinstance(error, Question) and error.declaration and set(error.declaration) != {"qk_norm"}:
            raise
    for fields in _to_try(adapter, target):
        turned = copy.copy(adapter)
        turned.contract = replace(adapter.contract, **fields)
        found = {name: _shortly(value) for name, value in fields.items()}
        try:
            if not Fit().without_mask(understand(turned)):
                continue
        except Question as question:
            if not question.declaration:
                continue
            found |= question.declaration
        except Exception:  # it cannot be read so
            continue
        raise Question(f"it is exactly right if it is declared what it seems to do: {in_words(found)}", found)
    if said is not None:
        raise said
    return subject


def understand_with_epsilon(adapter: Adapter, target: Any, understand: Callable[[Adapter], Subject]) -> Subject:
    """Understand a subject; an epsilon of a declared normalisation that nothing names is the number of its source that fits."""
    subject = understand(adapter)
    norm = subject.contract.formula.qk_norm
    if norm is None or norm.eps is not None or Fit().without_mask(subject):
        return subject
    for eps in epsilons_to_try(target, _built(adapter)):
        other = copy.copy(adapter)
        other.contract = replace(adapter.contract, qk_norm=replace(norm, eps=eps))
        with contextlib.suppress(Exception):  # it cannot be read so
            found = understand(other)
            if Fit().without_mask(found):
                said = Understood("epsilon", f"of normalised queries and keys: {eps:g}", "fitted")
                understood = (*found.understood, said)
                return replace(found, understood=understood, notes=notes_of(understood))
    return subject


def _to_try(adapter: Adapter, target: Any) -> Iterator[dict[str, Any]]:
    """Yield rotations and normalisations that are not declared, each alone and crossed."""
    module = _built(adapter)
    norms = list(norms_to_try(target, module)) if seems_normed(adapter) else []
    rotations = list(candidates(module)) if seems_rotary(adapter) else []
    yield from ({"rotary": rotary} for rotary in rotations)
    yield from ({"qk_norm": norm} for norm in norms)
    yield from ({"qk_norm": norm, "rotary": rotary} for norm in norms for rotary in rotations)


def _shortly(value: Rotary | QkNorm) -> Any:
    """Return a table as it is declared: its layout or kind alone, where everything else is usual."""
    if value == Rotary():
        return "half"
    declared = as_declared(value)
    alone = "layout" if isinstance(value, Rotary) else "kind"
    return declared[alone] if set(declared) == {alone} else declared


def _built(adapter: Adapter) -> nn.Module | None:
    """Return a module in whatever size it can be built, None where it cannot."""
    for head, d_model in (adapter.sizes,) if adapter.sizes else ((4, 24), (4, 64)):
        with contextlib.suppress(Exception):
            return adapter.build(head, d_model)
    return None
