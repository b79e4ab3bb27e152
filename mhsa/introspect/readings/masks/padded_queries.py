"""A mask of keys in self-attention that also sets the output of the tokens to zero which it hides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import Fit
from mhsa.records.understood import Known, Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.passages import text_of
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.subject import Subject

_SAID = re.compile(
    r"\bpad(ded|ding)?\b[^.]{0,120}\b(zeros?|zeroed)\b|\b(zeros?|zeroed)\b[^.]{0,60}\bpad(ded|ding)?\b", re.IGNORECASE
)


def of_padded_queries(readings: Iterator[Reading], subject: Subject, fit: Fit) -> Reading | None:
    """Return the first of the readings of a mask that fits where the tokens that it hides have an output of zero.

    It is certain where a docstring says of padding that something of it is zero; else it is a question.
    """
    adapter, declared = subject.adapter, subject.contract.padded_queries
    if not isinstance(adapter, ModuleAdapter) or adapter.inputs != "x" or declared == "computed":
        return None
    for reading in readings:
        if reading.subject.contract.mask_shape not in ALIKE_FOR_QUERIES:  # else no row says which tokens it hides
            continue
        contract = replace(reading.subject.contract, padded_queries="zero", fully_masked_row="zero-output")
        read = reading.subject.under(contract)
        if fit.with_mask(read):
            documented = _SAID.search(text_of(adapter)) is not None
            said = declared is not None or documented
            known: Known = "declared" if declared else "documented" if documented else "fitted"
            about = Understood("mask", "the output of tokens that it hides is zero", known, {"padded_queries": "zero"})
            return replace(
                reading,
                subject=replace(read, understood=(*read.understood, about)),
                text=f"{reading.text}, and sets the output of tokens that it hides to zero",
                certain=reading.certain and said,
                declaration={**reading.declaration, **({} if said else {"padded_queries": "zero"})},
                pins={**reading.pins, "padded_queries": "zero"},
            )
    return None
