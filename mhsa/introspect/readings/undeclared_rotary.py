"""A module that seems to rotate queries and keys by their places, and does not declare it: which rotation fits."""

from __future__ import annotations

import contextlib
import copy
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.readings.fit import Fit
from mhsa.oracle.formula.fields import Rotary, as_declared
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question, SubjectError
from mhsa.records.names import is_called
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

_WORDS = re.compile(r"rotary|rotate|\brope|_rope|freqs_cis|inv_freq|view_as_complex", re.IGNORECASE)
_BASES = {"rope_theta", "theta", "base", "rope_base", "rotary_base", "rotary_emb_base"}


def seems_rotary(adapter: Adapter) -> bool:
    """Whether names in the source of a module's class say that something is rotated, which nothing declares."""
    if not isinstance(adapter, ModuleAdapter) or adapter.contract.rotary is not None:
        return False
    try:
        return _WORDS.search(inspect.getsource(adapter.owner)) is not None
    except (TypeError, OSError):
        return False


def candidates(module: nn.Module | None) -> Iterator[Rotary]:
    """Yield the rotations to try, the most usual first: both layouts, with the base that the module has and the usual one."""
    bases = dict.fromkeys([*_bases(module), 10000.0] if module is not None else [10000.0])
    for base in bases:
        yield Rotary(base)
        yield Rotary(base, "interleaved")


def _bases(module: nn.Module) -> Iterator[float]:
    for part in module.modules():
        named: dict[str, Any] = vars(part)
        yield from (float(v) for n, v in named.items() if is_called(n, _BASES) and type(v) in (int, float) and v > 1)


def understand_rotary(adapter: Adapter, understand: Callable[[Adapter], Subject]) -> Subject:
    """Understand a subject whose source speaks of a rotation, which is not declared.

    Args:
        adapter: of the subject.
        understand: reads it with an adapter.

    Raises:
        Question: it is not right as it stands, and exactly right if queries and keys are rotated.
        SubjectError: it cannot be judged, with or without a rotation.
    """
    try:
        subject = understand(adapter)
        if Fit().without_mask(subject):
            return subject
        said: SubjectError | None = None
    except SubjectError as error:
        said = error
        if isinstance(error, Question) and error.declaration:
            raise
    for rotary in candidates(_built(adapter)):
        turned = copy.copy(adapter)
        turned.contract = replace(adapter.contract, rotary=rotary)
        found = {"rotary": rotary.layout if rotary == Rotary(layout=rotary.layout) else as_declared(rotary)}
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


def _built(adapter: Adapter) -> nn.Module | None:
    """Return a module in whatever size it can be built, None where it cannot."""
    for head, d_model in (adapter.sizes,) if adapter.sizes else ((4, 24), (4, 64)):
        with contextlib.suppress(Exception):
            return adapter.build(head, d_model)
    return None
