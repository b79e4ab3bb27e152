"""A module that says that it takes powers of two alone as its number of heads, and refuses others: it is judged with these."""

from __future__ import annotations

import re
from functools import partial

from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.passages import text_of
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject

_SAID = re.compile(r"\bpowers? of (2|two)\b", re.IGNORECASE)
LEFT = "numbers of heads that are no power of two, which its constructor refuses"


def takes_powers_of_two_alone(subject: Subject) -> bool:
    """Whether a docstring says so, and a constructor takes 2 and 8 heads, and neither 3 nor 6."""
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.sizes is not None or not _SAID.search(text_of(adapter)):
        return False
    d_k = first_sizes(adapter).d_k
    built = [attempt(partial(adapter.build, head, head * d_k))[0] is not None for head in (2, 8, 3, 6)]
    return built == [True, True, False, False]
