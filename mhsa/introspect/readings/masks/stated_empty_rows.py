"""What docstrings say that a query without any allowed key gets: zeros, the mean of the values, or NaN.

What is said is a promise like one that is declared: a module that gives such a query something else is violated. Of one whose
docstring says NaN that is accepted, and nothing is asked.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from mhsa.introspect.calls.find_fully_masked_row import find_fully_masked_row
from mhsa.records.contract import Contract
from mhsa.records.conventions.values import FullyMaskedRow
from mhsa.subject import check
from mhsa.subject.docstrings.empty_rows import is_about_rows, stated_row
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_NAN = "its docstring says so"


def with_stated_rows(subject: Subject) -> Subject:
    """Return the subject with what its docstring promises of such a query in its contract, where nothing is declared."""
    said = stated_row(subject.adapter)
    if said is None or not subject.adapter.takes_mask or subject.contract.fully_masked_row is not None:
        return subject
    if subject.contract.formula.positional and not is_about_rows(subject.adapter):
        return subject  # a row that causality leaves without a key is no sample without any
    return _promising(subject, said)


def as_found(read: Subject) -> FullyMaskedRow | None:
    """Return what such a query gets, of a subject whose call is known: what is declared or promised, else what is found.

    A promise of zeros may mean weights of zero or an output of zero: of these it is what is found. Where NaN is promised, what
    is found is taken, and NaN is accepted where nothing is.
    """
    promised = read.contract.fully_masked_row
    if promised not in ("zeros", "nan") or promised != stated_row(read.adapter):
        return find_fully_masked_row(read)
    found = find_fully_masked_row(read.under(replace(read.contract, fully_masked_row=None, reason="")))
    if promised == "nan":
        return found or promised
    return "zero-output" if found == "zero-output" or (found is None and _zeroes_a_sample(read)) else promised


def _zeroes_a_sample(read: Subject) -> bool:
    """Whether the output for a sample without any key is zero: masks of keys alone hide them from all of its queries."""
    try:
        trial = Trial(read, generic_case(read, "padding"), counted=False)
        mask = np.ones((trial.case.batch, trial.case.query_length, trial.case.key_length), dtype=bool)
        mask[0] = False
        return not trial(mask=mask).output[0].any()
    except (check.Violation, check.Inapplicable):
        return False


def _promising(subject: Subject, row: FullyMaskedRow) -> Subject:
    def promise(contract: Contract) -> Contract:
        return replace(contract, fully_masked_row=row, reason=_NAN if row == "nan" else contract.reason)

    adapter = copy.copy(subject.adapter)
    adapter.contract = promise(adapter.contract)
    caller = replace(subject.caller, adapter=adapter)
    return replace(subject, adapter=adapter, caller=caller).under(promise(subject.contract))
