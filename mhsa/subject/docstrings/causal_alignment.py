"""Where docstrings say that a causal mask is aligned."""

from __future__ import annotations

import inspect
import re
from typing import Any

from mhsa.oracle.formula.fields import Causal
from mhsa.source.docstring_lines import docstring_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.passages import documented

_ALIGNED: dict[Causal, re.Pattern[str]] = {
    "top-left": re.compile(r"\b(left[- ]aligned|(top|upper)[- ]left)\b", re.IGNORECASE),
    "bottom-right": re.compile(r"\b(right[- ]aligned|(bottom|lower)[- ]right)\b", re.IGNORECASE),
}


def stated_alignment(adapter: Adapter) -> Causal | None:
    """Return where a causal mask is aligned, if a docstring says it in a sentence about causality."""
    owners: list[Any] = documented(adapter)
    owners += [owner.__init__ for owner in owners if inspect.isclass(owner)]
    said = " ".join(" ".join(docstring_of(owner) for owner in owners).split())
    about = [sentence for sentence in re.split(r"(?<=[.;])\s", said) if re.search("causal", sentence, re.IGNORECASE)]
    found: set[Causal] = {place for place, words in _ALIGNED.items() for s in about if words.search(s)}
    return found.pop() if len(found) == 1 else None
