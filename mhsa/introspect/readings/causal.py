"""An implementation that is exactly right but for a causal mask of its own: it is not wrong, and no contract states it yet."""

from __future__ import annotations

import numpy as np

from mhsa.introspect.adapter_sketch import asked
from mhsa.introspect.readings.fit import Fit
from mhsa.records.errors import Question
from mhsa.subject.answer import Mask
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject

_WORDS = {
    "top-left": "query i sees the keys 0 to i",
    "bottom-right": "the last query sees every key, and each one before it one key less",
}


def ask_about_causal(subject: Subject, fit: Fit) -> None:
    """Compare with the oracle under a causal mask that nobody gave, however it is aligned.

    Raises:
        Question: the output is exactly that of causal attention.
    """
    declared = subject.adapter.contract
    if declared.mask is not None or declared.layout is not None:  # its call is declared, with no causal mask in it
        return
    case = generic_case(subject)
    shape = (case.batch, case.query_length, case.key_length)
    for aligned, words in _WORDS.items():
        if fit.without_mask(subject, causal_mask(shape, aligned)):
            where = "" if case.query_length == case.key_length else f", aligned {aligned} ({words})"
            raise Question(
                asked(
                    f"it is causal{where}: without any mask its output is exactly that of attention to the keys up to the own "
                    "place. No contract declares a causal module yet, so nothing more was judged. Where it has a switch for "
                    "that, name a factory that turns it off"
                )
            )


def causal_mask(shape: tuple[int, int, int], aligned: str) -> Mask:
    """Return the mask [B, Tq, Tk] of causal attention, aligned at the first or at the last query and key."""
    _, queries, keys = shape
    return np.broadcast_to(np.tri(queries, keys, 0 if aligned == "top-left" else keys - queries, dtype=bool), shape).copy()
