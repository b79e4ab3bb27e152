"""What docstrings say that a query without any allowed key gets: zeros, the mean of the values, or NaN.

What is said is a promise like one that is declared: a module that gives such a query something else is violated, and one whose
docstring says NaN is asked nothing.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from mhsa.introspect.calls.find_fully_masked_row import find_fully_masked_row
from mhsa.records.contract import Contract
from mhsa.records.conventions.values import FullyMaskedRow
from mhsa.subject.docstrings.empty_rows import stated_row
from mhsa.subject.subject import Subject

_NAN = "its docstring says so"


def with_stated_rows(subject: Subject) -> Subject:
    """Return the subject with what its docstring promises of such a query in its contract, where nothing is declared."""
    said = stated_row(subject.adapter)
    if said is None or not subject.adapter.takes_mask or subject.contract.fully_masked_row is not None:
        return subject
    return _promising(subject, said)


def as_found(read: Subject) -> FullyMaskedRow | None:
    """Return what such a query gets, of a subject whose call is known: as promised, in the form in which zeros are found.

    "Zeros" may be weights of zero, or an output of zero. A promise of NaN is none: whatever is found is taken.
    """
    promised = read.contract.fully_masked_row
    if promised not in ("zeros", "nan") or read.adapter.contract.fully_masked_row != promised:
        return find_fully_masked_row(read)
    if _declares(read):
        return promised
    found = find_fully_masked_row(read.under(replace(read.contract, fully_masked_row=None, reason="")))
    return found if found == "zero-output" or (promised == "nan" and found is not None) else promised


def _declares(subject: Subject) -> bool:
    return stated_row(subject.adapter) != subject.adapter.contract.fully_masked_row


def _promising(subject: Subject, row: FullyMaskedRow) -> Subject:
    def promise(contract: Contract) -> Contract:
        return replace(contract, fully_masked_row=row, reason=_NAN if row == "nan" else contract.reason)

    adapter = copy.copy(subject.adapter)
    adapter.contract = promise(adapter.contract)
    caller = replace(subject.caller, adapter=adapter)
    return replace(subject, adapter=adapter, caller=caller).under(promise(subject.contract))
