"""Masks that stand in for causality: a module that is causal without a mask, and with one attends to what the mask allows.

Some mean it: torch's kernels take a causal switch or a mask, so that the callers' masks have to hide later keys, too. With
others it is a bug, and a mask of padding opens the future. The code may be the same: what is written about the mask decides
what is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.masks.comments import comments_on_masks
from mhsa.oracle.formula.fields import Causal, DeclaredCausal
from mhsa.subject.docstrings.passages import about, mask_parameter
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.subject import Subject

_STANDING_IN: dict[Causal, DeclaredCausal] = {
    "top-left": "top-left-without-mask",
    "bottom-right": "bottom-right-without-mask",
}
_CAUSALITY = re.compile(r"causal|look[- ]?ahead|future|later (keys|tokens)|triang|subsequent", re.IGNORECASE)


def in_place_of_causality(
    read: Subject, aligned: Causal, masks_of: Callable[[Subject], Reading | None]
) -> tuple[dict[str, Any], str]:
    """Return what is to be declared of a subject that is causal without a mask, and words on what it does with one.

    Args:
        read: the subject under ``causal = aligned``, which it is without a mask.
        aligned: where.
        masks_of: the reading of its masks that fits exactly, or None.
    """
    fields: dict[str, Any] = {"causal": aligned}
    if not read.adapter.takes_mask or masks_of(read) is not None:
        return fields, ""
    standing_in = _STANDING_IN.get(aligned)
    masks = standing_in and masks_of(read.under(replace(read.contract, causal=standing_in)))
    if not masks or masks.subject.contract.mask_shape in ALIKE_FOR_QUERIES:
        return fields, ""
    words = "; with a mask it attends to every key that the mask allows"
    if read.caller.mask_is_required or _is_written(read):
        return {"causal": standing_in}, f"{words}, which has to hide later keys, too"
    words += f', later ones, too. Where callers\' masks hide them, declare causal = "{standing_in}" instead'
    return fields, words


def _is_written(read: Subject) -> bool:
    """Whether the mask's docstring, or a comment on masks, speaks of causality."""
    said = [*about(read.adapter, mask_parameter(read.adapter)), *comments_on_masks(read.adapter)]
    return any(_CAUSALITY.search(line) for line in said)
