"""Co-attention: two streams of tokens, each of which attends to the other, and a mask of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence


def mask_of_each(streams: tuple[str, str], masks: Sequence[str]) -> tuple[str, str] | None:
    """Return the masks of two streams, in their order, where their names say which is whose; else None.

    ``attention_mask1`` is that of ``input_tensor1``, ``text_mask`` that of ``text``, and ``mask_v`` that of ``v``.
    """
    marks = _marks(*streams)
    found = [[mask for mask in masks if _has(mask, mark, other)] for mark, other in (marks, marks[::-1])]
    return (found[0][0], found[1][0]) if all(len(each) == 1 for each in found) and found[0] != found[1] else None


def _marks(one: str, other: str) -> tuple[str, str]:
    """Return what tells two names apart: x_a and x_b by a and b, text and image by the whole names."""
    start = _alike(one, other)
    end = _alike(one[start:][::-1], other[start:][::-1])
    marks = tuple(re.sub(r"^_|_$", "", name[start : len(name) - end]) for name in (one, other))
    return (marks[0], marks[1]) if all(marks) and (start or end) else (one, other)


def _alike(one: str, other: str) -> int:
    """Return how many letters two names begin with together."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _has(mask: str, mark: str, other: str) -> bool:
    """Whether a mask has the mark of one stream as one of its words, and not that of the other."""
    words = re.findall(r"[a-z]+|\d+", mask.lower())
    return mark.lower() in words and other.lower() not in words
