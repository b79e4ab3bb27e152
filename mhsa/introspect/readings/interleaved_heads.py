"""Reading of the heads: which features belong to one, neighbours or every H-th."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mhsa.introspect.projections.head_order import in_order
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.records.conventions.values import Heads
from mhsa.records.names import HEAD, is_called
from mhsa.source.written_code import source_of, written_owners
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

# A map may be split in an order of its own: the numbers are the same, its parameters are only named in another order.
_OF_SOME: dict[Heads, str] = {
    "interleaved-keys": "its keys, and these alone",
    "interleaved-queries": "its queries, and these alone",
    "interleaved-queries-and-keys": "its queries and keys, and these alone",
    "interleaved-values": "its values, and these alone; it merges them so, too",
}
_LAST = re.compile(r"\b(?:view|reshape|unflatten)\([^()]*,\s*(?:self\.)?(\w+)\s*[\])]")  # the last axis that is split into
_SPLIT = re.compile(r"[\"'][^\"'\n]*\(\s*(?!h\b|n?_?heads?\b)\w+\s+(?:h|n?_?heads?)\s*\)[^\"'\n]*->")  # "b t (d h) -> b h t d"
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
    for heads, of_which in _OF_SOME.items() if _splits_heads_last(subject) else ():
        yield _reading(subject, heads, f"{text}, where it splits {of_which}")


def _reading(subject: Subject, heads: Heads, text: str) -> Reading:
    fields = {"heads": heads}
    read = replace(subject, bind=in_order(subject.bind, heads), contract=replace(subject.contract, heads=heads))
    return Reading(read, "parameters", text, certain=False, declaration=fields, pins=fields)


def _says_its_order(subject: Subject) -> bool:
    """Whether the source has a pattern of einops for a packed map, as ``b t (qkv d h)``."""
    return any(_PATTERN.search(source) for source in _sources(subject))


def _splits_heads_last(subject: Subject) -> bool:
    """Whether the source splits a map into [d_k, H], the number of heads last, or has a pattern of einops that does."""
    last = (name for source in _sources(subject) for name in _LAST.findall(source))
    return any(is_called(name, HEAD) for name in last) or any(_SPLIT.search(source) for source in _sources(subject))


def _sources(subject: Subject) -> Iterator[str]:
    adapter = subject.adapter
    if isinstance(adapter, ModuleAdapter):
        yield from map(source_of, written_owners(adapter.owner))
