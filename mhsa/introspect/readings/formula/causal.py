"""An implementation that is exactly right but for a causal mask of its own: it is asked whether that is meant."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.formula.undeclared_windows import window_in_source
from mhsa.introspect.readings.layouts import layout_readings
from mhsa.introspect.readings.masks.in_place_of_causality import in_place_of_causality
from mhsa.oracle.formula.fields import Causal
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.declared_options import is_causality
from mhsa.subject.docstrings.causal_alignment import stated_alignment
from mhsa.subject.generic_inputs import generic_sizes
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject

_WORDS: dict[Causal, str] = {
    "top-left": "query i sees the keys 0 to i",
    "bottom-right": "the last query sees every key, and each one before it one key less",
}


def ask_about_causal(subject: Subject, module: nn.Module, fit: Fit, masks_of: Callable[[Subject], Reading | None]) -> None:
    """Compare with the oracle under a causal mask that no caller gave, however it is aligned, and in every layout of heads.

    Args:
        subject: read by names.
        module: of generic sizes.
        fit: compares.
        masks_of: the reading of a subject's masks that fits exactly, or None.

    Raises:
        Question: the output is exactly that of causal attention, and the contract does not say whether it is causal.
    """
    contract = subject.contract
    if contract.causal is not None or contract.window is not None:
        return  # it is declared what it computes
    sizes = generic_sizes(subject.adapter)
    function = isinstance(subject.adapter, FunctionAdapter)
    laid = [reading.subject for reading in layout_readings(subject, module)] if function else [subject]
    for each, (aligned, words) in itertools.product(laid, _WORDS.items()):
        read = each.under(replace(each.contract, causal=aligned))
        if fit.without_mask(read):
            where = "" if sizes.queries == sizes.keys else f", aligned {aligned} ({words})"
            fields, masked = in_place_of_causality(read, aligned, masks_of)
            words = f"without a mask its output is exactly that of attention to the keys up to the own place{masked}"
            if window := window_in_source(read):
                words = f"{words}, within a window ({in_words(window)})"
            said = stated_alignment(read.adapter)
            if where and said not in (None, aligned):
                fields = {"causal": said}
                words = f"{words}; its docstring says {said}, which this is not"
            raise Question(f"it is causal{where}: {words}", fields | window)


def ask_about_name(subject: Subject) -> None:
    """Look at the name of an implementation that attends to every key: one that is called causal must get that from somewhere.

    A mask that a caller gives, or a switch, may be what makes it causal: then the name says nothing.

    Raises:
        Question: with the declaration under which it is what its name says.
    """
    adapter, contract = subject.adapter, subject.contract
    if contract.causal is not None or adapter.takes_mask or any("mask" in n.lower() for n in adapter.not_given):
        return
    owner: Any = adapter.owner if isinstance(adapter, ModuleAdapter) else None
    owner = adapter.function if isinstance(adapter, FunctionAdapter) else owner
    name = getattr(owner, "__name__", "")
    if not re.search(r"causal|autoregressive", name, re.IGNORECASE) or re.search(r"non_?causal", name, re.IGNORECASE):
        return
    options = list(inspect.signature(owner).parameters)
    options += list(inspect.signature(call_of(owner)).parameters) if isinstance(adapter, ModuleAdapter) else []
    if any(is_causality(option) for option in options):
        return
    raise Question(
        f"it is called {name}, and without a mask each query attends to every key, later ones too. "
        'Declare causal = "top-left", which the name says and which is then violated; or causal = "no", if that is meant',
        {"causal": "top-left"},
    )
