"""Which mask of a layer is whose, by the names of its arguments: of the layer's own sequence, or of one that it attends to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mhsa.records.names import KEPT, QUERY_MASK

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Words that say what a mask is, and not whose.
_OF_ANY_MASK = frozenset(
    ("mask", "masks", "attn", "att", "attention", "pad", "padding", "key", "keys", "seq", "sequence", "additive", "extended")
)
_FUTURE = frozenset(("look", "ahead", "lookahead", "causal", "subsequent", "future", "peak", "nopeak", "peek", "triangular"))
_OWN = _FUTURE | {"self", "slf", "tgt", "trg", "target", "dec", "decoder"}
_OTHER = frozenset(("cross", "memory", "mem", "src", "source", "enc", "encoder", "context", "ctx"))
_PLAIN = frozenset(("mask", "attn_mask", "attention_mask"))


@dataclass(frozen=True)
class MasksOfALayer:
    """Names of masks that a layer is given.

    Attributes:
        own: those of its own sequence, for its self-attention.
        other: those of the sequence that it attends to.
        unknown: those of which no name says it.
    """

    own: tuple[str, ...]
    other: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Return all of them."""
        return (*self.own, *self.other, *self.unknown)


def own_and_other(first: str, second: str) -> tuple[str, str]:
    """Return which of two sequences is the layer's own, by their names: ``tgt`` is, next to ``src``; else the first."""
    turned = _telling(second) & _OWN and not _telling(first) & _OWN and not second.lower().startswith("target")
    return (second, first) if turned else (first, second)


def masks_of_layer(masks: Sequence[str], query: str, key: str) -> MasksOfALayer:
    """Return whose the masks of a layer are, by their names and those of its two sequences.

    A mask of no sequence is that of the layer's own where there is one alone and the other one says that it is not
    (``attention_mask``, ``encoder_attention_mask``); one of padding is that of the other sequence next to one of the future
    (``look_ahead_mask``, ``padding_mask``).

    Args:
        masks: names of arguments.
        query: the name of the layer's own sequence, and ``key`` that of the one that it attends to.
    """
    names = [name for name in masks if name not in KEPT and name.lower() not in QUERY_MASK - {f"{query}_mask".lower()}]
    own = [name for name in names if _whose(name, query, key) == "own"]
    other = [name for name in names if _whose(name, query, key) == "other"]
    unknown = [name for name in names if name not in own and name not in other]
    plain = [name for name in unknown if name.lower() in _PLAIN]
    padding = [name for name in unknown if {"pad", "padding"} & set(_words(name))]
    if other and not own and len(plain) == 1:
        own = plain
    elif own and not other and len(padding) == 1 and all(_FUTURE & set(_words(name)) for name in own):
        other = padding
    return MasksOfALayer(tuple(own), tuple(other), tuple(name for name in unknown if name not in (*own, *other)))


def _whose(name: str, query: str, key: str) -> str:
    words, of_query, of_key = (_telling(x) for x in (name, query, key))
    if of_key & _OWN and not of_query & _OWN:  # the sequences are not those that they seem to be
        return ""
    if words & (of_query ^ of_key):  # of both, it is that of attention between them
        return "other" if words & (of_key - of_query) else "own"
    if words & {"self", "slf"}:
        return "" if words & _OTHER else "own"
    if words & _OTHER:  # that of a decoder over an encoder (``dec_enc_mask``) is one, too
        return "other"
    return "own" if words & _OWN else ""


def _telling(name: str) -> frozenset[str]:
    return frozenset(_words(name)) - _OF_ANY_MASK


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]
