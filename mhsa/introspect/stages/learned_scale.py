"""A learned factor of the scores, `temperature` or `logit_scale`: it is kept at its initial value, which the formula has.

Such a parameter is no part of plain attention. Its initial value may be the usual scale, or a number that can be declared.
Its gradient is not judged, which is said.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from mhsa.introspect.readings.fit import fits
from mhsa.records.errors import ForeignParameter, Question, SubjectError
from mhsa.records.names import LEARNED_SCALE, is_called
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.subject import Subject

_DIGITS = 6  # of a number that was kept in float32
_LESS = 0.75  # of its value a parameter is given, exactly, to see what it multiplies


def with_learned_scale(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives; where a learned scale stands in its way, with that parameter at its initial value.

    Raises:
        SubjectError: what ``read`` raises.
        Question: with the declaration of the scale that it starts with, where that is not the usual one.
    """
    try:
        return read(adapter)
    except ForeignParameter as error:
        if not isinstance(adapter, ModuleAdapter) or not is_called(error.path.rpartition(".")[2], LEARNED_SCALE):
            raise
        return _kept(adapter, error, read)


def _kept(adapter: ModuleAdapter, error: ForeignParameter, read: Callable[[Adapter], Subject]) -> Subject:
    sizes = first_sizes(adapter)
    parameter = dict(adapter.build(sizes.head, sizes.d_model).named_parameters()).get(error.path)
    if parameter is None or parameter.numel() not in (1, sizes.head) or not bool((parameter == parameter.flatten()[0]).all()):
        raise error
    kept = copy.copy(adapter)
    kept.kept = {**adapter.kept, error.path: 1.0}
    words = f"parameter {error.path}, a learned scale, which is kept at its initial value"
    if adapter.contract.scale is not None:
        return _naming(with_learned_scale(kept, read), words)
    starts = list(_starts(parameter, error.path))
    for scale in (None, *starts):
        tried = copy.copy(kept)
        tried.contract = replace(adapter.contract, scale=scale)
        declared = {} if scale is None else {"scale": scale}
        try:
            subject = with_learned_scale(tried, read)
        except Question as question:
            if not question.declaration:
                continue
            raise Question(f"{words}: {question}", declared | dict(question.declaration)) from error
        except SubjectError:
            continue
        d_k, exact = sizes.d_model // sizes.head, fits(subject)
        if not exact and not (scale is None and _is_usual(starts, d_k)):
            continue
        if exact and not _multiplies_scores(tried, error.path, scale or d_k**-0.5, read):
            break
        if scale is None:
            return _naming(subject, words)
        raise Question(f"{words}: with it, scores are multiplied by {scale:g}", declared)
    raise error


def _multiplies_scores(adapter: ModuleAdapter, path: str, scale: float, read: Callable[[Adapter], Subject]) -> bool:
    """Whether a parameter that is made smaller is a smaller scale: it may multiply anything else that starts as 1."""
    for less in (_LESS * scale, scale / _LESS, scale**_LESS):  # the factor, its reciprocal, its logarithm
        other = copy.copy(adapter)
        other.kept = {**adapter.kept, path: _LESS}
        other.contract = replace(adapter.contract, scale=less)
        try:
            if fits(with_learned_scale(other, read)):
                return True
        except SubjectError:
            continue
    return False


def _starts(parameter: Tensor, path: str) -> Iterator[float]:
    """Yield the factors that a parameter may start with: itself, what it is the logarithm of, and the reciprocal."""
    value = float(parameter.detach().flatten()[0])
    numbers = [value, math.exp(min(value, 50.0)), 1 / value if value else 0.0]
    if "log" in path.lower():
        numbers = [numbers[1], numbers[0], numbers[2]]
    yield from dict.fromkeys(float(f"{x:.{_DIGITS}g}") for x in numbers if x > 0)


def _is_usual(starts: list[float], d_k: int) -> bool:
    """Whether one of the factors is 1 / sqrt(d_k), for this one width of a head."""
    return any(abs(x * d_k**0.5 - 1) < 10.0 ** (1 - _DIGITS) for x in starts)


def _naming(subject: Subject, words: str) -> Subject:
    return replace(subject, not_judged=(*subject.not_judged, words))
