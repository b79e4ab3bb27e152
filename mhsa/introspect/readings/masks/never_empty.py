"""A docstring that leaves fully masked rows to the caller: each row of the mask must keep a key."""

from __future__ import annotations

import re
from dataclasses import replace

from mhsa.introspect.readings.masks.stated_polarity import about, mask_parameter
from mhsa.subject.subject import Subject

_KEEPS_A_KEY = re.compile(
    r"at least (one|1)\b|(each|every|a) (row|query) (always |must )?(keeps?|has|have|sees?) (a|one|some)\b"
    r"|never (all|fully|entirely|completely) (masked|hidden|blocked|padding|padded|False)"
    r"|must not be (fully|entirely|completely) (masked|hidden|blocked|padding|padded)",
    re.IGNORECASE,
)


def with_words_on_empty_rows(subject: Subject) -> Subject:
    """Return the subject, for whose fully masked rows NaN is accepted where words exclude them; the reason is those words."""
    name = mask_parameter(subject.adapter)
    said = next((text for text in about(subject.adapter, name) if _KEEPS_A_KEY.search(text)), "") if name else ""
    if not said or subject.contract.fully_masked_row is not None:
        return subject
    reason = f"its docstring asks for a key in each row: {' '.join(said.split())}"
    return subject.under(replace(subject.contract, fully_masked_row="nan", reason=reason))
