"""Ways to read an adapter that each try several forms of it: they are asked in turn, and each asks the next for every form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.subject import Subject

Read = Callable[[Adapter], Subject]


class TriesForms(Protocol):
    """Reads an adapter, in the first of several forms that fits."""

    def __call__(self, adapter: Adapter, read: Read) -> Subject:
        """Return what ``read`` gives with the form of ``adapter`` that fits, or raise what it raises."""


def in_turn(ways: Sequence[TriesForms], read: Read) -> Read:
    """Return what reads an adapter in the first of these ways, which reads each form in the second, and so on to ``read``."""
    for way in reversed(ways):
        read = functools.partial(way, read=read)
    return read
