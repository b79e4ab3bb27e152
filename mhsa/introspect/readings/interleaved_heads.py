"""Reading of the heads: which features belong to one, neighbours or every H-th."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace

from mhsa.introspect.projections.head_order import in_order
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.records.contract import Heads
from mhsa.source.written_code import source_of
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

_PATTERN = re.compile(r"[\"'][^\"'\n]*\(\s*\w+\s+\w+\s+\w+\s*\)[^\"'\n]*->")


def interleaved_heads(subject: Subject) -> Iterator[Reading]:
    """Yield the readings of a module that takes every H-th feature for one head; none where it is declared, or has no heads.

    The usual answer is neighbours, so these are questions: weights that were trained in the usual order do not fit. Heads that
    are merged in the usual order are split so by a slip, unless the source writes out the order of a packed map.
    """
    if subject.adapter.contract.heads is not None or isinstance(subject.adapter, FunctionAdapter):
        return
    text = "takes every H-th feature for one head, H being the number of heads, and not neighbours"
    yield _reading(subject, "interleaved", text)
    if _says_its_order(subject):
        yield _reading(subject, "interleaved-where-split", f"{text}, where it splits its packed map")


def _reading(subject: Subject, heads: Heads, text: str) -> Reading:
    fields = {"heads": heads}
    read = replace(subject, bind=in_order(subject.bind, heads), contract=replace(subject.contract, heads=heads))
    return Reading(read, "parameters", text, certain=False, declaration=fields, pins=fields)


def _says_its_order(subject: Subject) -> bool:
    """Whether the source has a pattern of einops for a packed map, as ``b t (qkv d h)``."""
    adapter = subject.adapter
    for owner in inspect.getmro(adapter.owner) if isinstance(adapter, ModuleAdapter) else ():
        try:
            if owner.__module__.partition(".")[0] != "torch" and _PATTERN.search(source_of(owner)):
                return True
        except (OSError, TypeError):  # it has no source
            continue
    return False
