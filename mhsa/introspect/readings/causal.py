"""An implementation that is exactly right but for a causal mask of its own: it is asked whether that is meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mhsa.introspect.readings.fit import Fit
from mhsa.oracle.formula.fields import Causal
from mhsa.records.errors import Question
from mhsa.subject.generic_inputs import generic_sizes
from mhsa.subject.subject import Subject

_WORDS: dict[Causal, str] = {
    "top-left": "query i sees the keys 0 to i",
    "bottom-right": "the last query sees every key, and each one before it one key less",
}


def ask_about_causal(subject: Subject, fit: Fit) -> None:
    """Compare with the oracle under a causal mask that no caller gave, however it is aligned.

    Raises:
        Question: the output is exactly that of causal attention, and the contract does not say whether it is causal.
    """
    contract = subject.contract
    if contract.causal is not None:
        return  # it is declared what it computes
    sizes = generic_sizes(subject.adapter)
    for aligned, words in _WORDS.items():
        causal = replace(contract, causal=aligned)
        read = replace(subject, contract=causal, caller=replace(subject.caller, contract=causal))
        if fit.without_mask(read):
            where = "" if sizes.queries == sizes.keys else f", aligned {aligned} ({words})"
            fields: dict[str, Any] = {"causal": aligned}
            words = "without a mask its output is exactly that of attention to the keys up to the own place"
            raise Question(f"it is causal{where}: {words}", fields)
