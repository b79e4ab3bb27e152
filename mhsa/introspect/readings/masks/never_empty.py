"""A docstring that leaves fully masked rows to the caller: each row of the mask must keep a key."""

from __future__ import annotations

from dataclasses import replace

from mhsa.subject.docstrings.mask_values import keeps_a_key
from mhsa.subject.subject import Subject


def with_words_on_empty_rows(subject: Subject) -> Subject:
    """Return the subject, for whose fully masked rows NaN is accepted where words exclude them; the reason is those words."""
    said = keeps_a_key(subject.adapter)
    if not said or subject.contract.fully_masked_row is not None:
        return subject
    reason = f"its docstring asks for a key in each row: {' '.join(said.split())}"
    return subject.under(replace(subject.contract, fully_masked_row="nan", reason=reason))
