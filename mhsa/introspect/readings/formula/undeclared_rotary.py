"""A module that seems to rotate queries and keys by their places, and does not declare it: which rotation fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from mhsa.introspect.readings.formula.source_words import source_speaks_of
from mhsa.oracle.formula.fields import Rotary
from mhsa.records.names import is_called
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.construction.declared_options import ROTARY_BASE

_WORDS = re.compile(r"rotary|rotate|\brope|_rope|freqs_cis|inv_freq|view_as_complex", re.IGNORECASE)


def seems_rotary(adapter: Adapter) -> bool:
    """Whether names in the source of a module's class say that something is rotated, which nothing declares."""
    return adapter.contract.rotary is None and source_speaks_of(adapter, _WORDS)


def candidates(module: nn.Module | None) -> Iterator[Rotary]:
    """Yield the rotations to try, the most usual first: both layouts, with the base that the module has and the usual one."""
    bases = dict.fromkeys([*_bases(module), 10000.0] if module is not None else [10000.0])
    for base in bases:
        yield Rotary(base)
        yield Rotary(base, "interleaved")


def _bases(module: nn.Module) -> Iterator[float]:
    for part in module.modules():
        named: dict[str, Any] = vars(part)
        yield from (float(v) for n, v in named.items() if is_called(n, ROTARY_BASE) and type(v) in (int, float) and v > 1)
