"""What a query without any allowed key gets: found by calling, since it has no usual answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mhsa.introspect.calls.call_with_mask import call_with_mask, inside
from mhsa.introspect.calls.refuses_fully_masked import refuses_fully_masked
from mhsa.oracle.bounded import Array
from mhsa.records.conventions.values import FullyMaskedRow
from mhsa.subject.subject import Subject


def find_fully_masked_row(subject: Subject) -> FullyMaskedRow | None:
    """Return what a query without any allowed key gets, or None where that is not even finite, or no such call can be made.

    A call that is refused with an error, by a statement of the subject for that, is an answer, too: nobody overlooks it.

    The call is made in float64, which distinguishes most, and in every dtype to be judged; where the answers differ, as for
    masks that are added and absorb the scores in one format only, nothing but being finite is promised. What computes in
    float32 inside absorbs small scores in both, so that large ones are asked for, too.
    """
    if subject.contract.fully_masked_row is not None:
        return subject.contract.fully_masked_row
    if refuses_fully_masked(subject):
        return "raises"
    if "fully_masked_row" not in subject.masks:
        return None
    fill = subject.contract.formula.fill
    if fill is not None:  # the number decides it: where a sink takes part, or scores do, the row is no plain mean
        return "uniform" if fill.how == "set" and subject.contract.sinks is None else "finite"
    found = {_fully_masked_row(subject, dtype) for dtype in ("float64", *subject.dtypes)}
    if subject.contract.float64_in == "float32":
        found.add(_fully_masked_row(subject, "float64", "large"))
    return found.pop() if len(found) == 1 else None if None in found else "finite"


def _fully_masked_row(subject: Subject, dtype: str, data: str = "normal") -> FullyMaskedRow | None:
    rows: Array = np.empty(0)
    kinds: tuple[FullyMaskedRow, ...] = ("zeros", "uniform")
    for kind in kinds:
        contract = replace(subject.contract, fully_masked_row=kind)
        answer = call_with_mask(replace(subject, contract=contract), "fully_masked_row", dtype, data=data)
        if answer is None or answer.mask is None:
            return None
        empty = ~answer.mask.any(axis=-1)
        if inside(answer.output[empty], answer.expected.output.value[empty], answer.expected.output.error[empty]):
            return kind
        rows = answer.output[empty]
    if not np.isfinite(rows).all():
        return None
    return "finite" if rows.any() else "zero-output"
