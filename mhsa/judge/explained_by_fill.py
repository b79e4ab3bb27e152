"""A failure that a finite number in place of -inf explains: it carries the declaration under which it is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from mhsa.oracle.formula.fields import Fill, as_declared
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.trial import Trial


@contextmanager
def explained_by_fill(trial: Trial, call: Callable[[], Answer]) -> Iterator[None]:
    """Run checks of scores that may lie beyond a finite fill; where one fails, say if the subject's fill makes it so.

    Args:
        trial: of the subject.
        call: makes the call that is checked, once more: under the fill that was found its output must be the oracle's.
    """
    try:
        yield
    except check.Violation as violation:
        fill = trial.subject.fill
        if fill is not None and _fits(trial, fill, call):
            violation.facts |= {"declaration": {"fill": _declared(fill)}, "question": _question(fill)}
        raise


def _fits(trial: Trial, fill: Fill, call: Callable[[], Answer]) -> bool:
    before = trial.formula
    trial.formula = replace(before, fill=fill)
    try:
        answer = call()
        required = answer.expected.output
    except (check.Violation, check.Inapplicable):
        return False
    finally:
        trial.formula = before
    return bool((np.abs(answer.output - required.value) <= required.error)[answer.attended[..., 0]].all())


def _declared(fill: Fill) -> Any:
    return fill.number if fill.how == "set" else as_declared(fill)


def _question(fill: Fill) -> str:
    how = "sets the scores of masked keys to" if fill.how == "set" else "hides masked keys by adding"
    end = "" if fill.how == "set" else " to their scores"
    return (
        f"it {how} {fill.number:g}{end}, a finite number in place of -inf: masked keys are hidden as long as scores do not lie "
        "that far apart"
    )
