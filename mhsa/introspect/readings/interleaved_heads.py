"""Reading of the heads: which features belong to one, neighbours or every H-th."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from mhsa.introspect.projections.head_order import in_order
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.records.contract import Heads
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.subject import Subject


def interleaved_heads(subject: Subject, module: nn.Module) -> Iterator[Reading]:
    """Yield the readings of a module that takes every H-th feature for one head; none where it is declared, or has no heads.

    The usual answer is neighbours, so these are questions: weights that were trained in the usual order do not fit. Of heads
    that are merged in the usual order only a packed map is read so, since its order is the author's own in any case.
    """
    if subject.adapter.contract.heads is not None or isinstance(subject.adapter, FunctionAdapter):
        return
    text = "takes every H-th feature for one head, H being the number of heads, and not neighbours"
    yield _reading(subject, "interleaved", text)
    if _is_packed(subject, module):
        yield _reading(subject, "interleaved-where-split", f"{text}, where it splits its packed map")


def _reading(subject: Subject, heads: Heads, text: str) -> Reading:
    fields = {"heads": heads}
    read = replace(subject, bind=in_order(subject.bind, heads), contract=replace(subject.contract, heads=heads))
    return Reading(read, "parameters", text, certain=False, declaration=fields, pins=fields)


def _is_packed(subject: Subject, module: nn.Module) -> bool:
    """Whether the maps of query and key are parts of one parameter."""
    found = subject.bind(module, first_sizes(subject.adapter))
    query, key = (role.weight.pieces for role in (found.query, found.key))
    return bool(query and key) and query[0].untyped_storage().data_ptr() == key[0].untyped_storage().data_ptr()
