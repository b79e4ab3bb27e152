"""Whether a subject refuses, on purpose, to be called with a query that may attend to no key."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import torch

from mhsa.records.failures.failure_form import is_library
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.memory_layout import tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_RAISE = dis.opmap["RAISE_VARARGS"]  # what the statements raise and assert are compiled to


def refuses_fully_masked(subject: Subject) -> bool:
    """Return whether its own code has a statement that raises, for each such call that it can be given.

    An error that torch raises on the way, for an index or a shape say, is a bug and no refusal. The calls are one with a sample
    in which nothing may be attended to, and one with such a query, where masks can say that.
    """
    kinds = [kind for kind in ("random", "padding") if kind in subject.masks]
    if not kinds:
        return False
    try:
        trial = Trial(subject, generic_case(subject, kinds[0]))
        hidden = [(0,), (0, 0)] if "fully_masked_row" in subject.masks else [(0,)]
        return all(_is_refused(trial, place) for place in hidden)
    except (check.Violation, check.Inapplicable):  # the properties will meet it again and report it
        return False


def _is_refused(trial: Trial, place: tuple[int, ...]) -> bool:
    case = trial.case
    mask = np.ones((case.batch, case.query_length, case.key_length), dtype=bool)
    mask[place] = False
    query, key, value = tied(trial.tensor, trial.query, trial.key, trial.value)
    given = trial.convert(mask)
    try:
        with torch.no_grad():
            trial.call_unchecked(query, key, value, given)
    except Exception as error:
        *_, last = _steps(error.__traceback__)
        code = last.tb_frame.f_code
        return code.co_code[last.tb_lasti] == _RAISE and not is_library(code.co_filename)
    return False


def _steps(at: TracebackType | None) -> Iterator[TracebackType]:
    """Yield the steps of a traceback, the one that raised last."""
    while at is not None:
        yield at
        at = at.tb_next
