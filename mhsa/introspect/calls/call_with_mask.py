"""One generic call with a mask of a chosen kind, and whether its numbers are within their bounds."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from mhsa.oracle.bounded import Array
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def call_with_mask(
    subject: Subject, mask: str, dtype: str = "float64", watch: AbstractContextManager[Any] | None = None, data: str = "normal"
) -> Answer | None:
    """Return the answer to one generic case with this kind of mask and of data; None where the call raises."""
    case = replace(generic_case(subject, mask, dtype=dtype), data=data)
    try:
        trial = Trial(subject, case)
        with watch or contextlib.nullcontext():
            return trial()
    except (check.Violation, check.Inapplicable):  # the properties will raise it again and report it
        return None


def inside(observed: Array, value: Array, error: Array) -> bool:
    """Whether every number is within its bound."""
    return bool((np.abs(observed - value) <= error).all())
