"""Which argument of a constructor, or attribute of its configuration, is which: by its name."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from torch import nn

from mhsa.records.names import (
    DROPOUT,
    FEED_FORWARD,
    HEAD,
    HEAD_WIDTH,
    KEY_LENGTH,
    KV_HEADS,
    LAYERS,
    OTHER_WIDTHS,
    POSITIONS,
    QUERY_LENGTH,
    SEQUENCE,
    SWITCHES_OFF,
    SWITCHES_ON,
    TOKENS,
    WIDTH,
    is_called,
)

Role = Literal[
    "head",
    "kv head",
    "d_model",
    "other width",
    "head width",
    "dropout",
    "dropout layer",
    "length",
    "layer",
    "on",
    "off",
    "feed-forward",
    "query length",
    "key length",
    "tokens",
    "score divisor",
    "score factor",
    "map",
]
# How widths that may be of one head or of all heads together are taken: those called d_k or dim_head are tried of one head
# first, those called key_dim or out_dim of all of them first.
WidthReading = Literal["usual", "all of all heads", "all of one head"]
WIDTH_READINGS: tuple[WidthReading, ...] = ("usual", "all of all heads", "all of one head")
# Positions for masks and embeddings that are made once. The lengths of cases end at 600, or beyond a number in the source;
# a causal mask of 1026 x 1026 is a few megabytes.
LENGTH = 1026
DROPOUT_RATE = 0.1  # of every module that takes a rate: one that eval() does not switch off shall show
SIZED: frozenset[Role] = frozenset({"head", "kv head", "d_model", "other width", "head width", "dropout"})

_NAMES: tuple[tuple[Role, Collection[str]], ...] = (
    ("head", HEAD),
    ("kv head", KV_HEADS),
    ("d_model", WIDTH),
    ("other width", OTHER_WIDTHS),
    ("head width", HEAD_WIDTH),
    ("dropout", DROPOUT),
    ("length", POSITIONS),
    ("layer", LAYERS),
    ("on", {*SWITCHES_ON, "batch_first"}),
    ("off", SWITCHES_OFF),
    ("feed-forward", FEED_FORWARD),
    ("query length", QUERY_LENGTH),
    ("key length", KEY_LENGTH),
    ("tokens", TOKENS),
)
# Lengths of queries and of keys that a module is built for, where it takes no others.
_LENGTHS: ContextVar[tuple[int, int]] = ContextVar("mhsa_lengths", default=(LENGTH, LENGTH))


@contextmanager
def for_lengths(queries: int, keys: int) -> Iterator[None]:
    """Have arguments that are lengths be those of one call while a module is built."""
    before = _LENGTHS.set((queries, keys))
    try:
        yield
    finally:
        _LENGTHS.reset(before)


def tokens_of_call() -> int:
    """Return how many keys the call has that a module is built for."""
    return _LENGTHS.get()[1]


def is_length_of_inputs(name: str) -> bool:
    """Whether a name says that it is the length of the inputs, and not a maximum of that."""
    return role_of(name) in ("query length", "key length", "tokens") or is_called(name, SEQUENCE)


# Before the name of a size: of which part of a model it is, as in encoder_embed_dim and vit_n_heads. One word alone may follow
# only if it is a size of anything: encoder_depth counts layers, and text_size characters.
_OF_A_PART = re.compile(
    r"(vit|lm|vision|text|enc|encoder|dec|decoder|bert|gpt|transformer|audio|attn|attention|model|self_attn|mha)_"
    r"(?=\w+_\w+$|(n?heads|dim|width|dropout)$)",
    re.IGNORECASE,
)


# Names that end in one of these are sizes, whatever they are of: v_hidden_size, bi_num_attention_heads. Those of keys alone, or
# of what is no attention, may differ.
_SIZE = re.compile(r"_(hidden_size|embed_dim|num_attention_heads|num_heads|n_heads|nheads)$", re.IGNORECASE)
_OF_SOMETHING_ELSE = re.compile("kv|key|value|ffn|mlp|inter|rnn|gru|lstm|pos|rel|(^|_)head_", re.IGNORECASE)


def size_at_the_end(name: str) -> str:
    """Return the usual name of a size that a longer name ends in, where nothing else says what it is; else nothing."""
    known = any(is_called(name, names) for _, names in _NAMES)
    found = None if known or _OF_A_PART.match(name) or _OF_SOMETHING_ELSE.search(name) else _SIZE.search(name)
    return found.group(1) if found else ""


_DROPS_ELSEWHERE = re.compile("path|qkv|emb|input", re.IGNORECASE)


def role_of(name: str) -> Role | None:
    """Return what a name stands for, None if that is not known."""
    role = next((role for role, names in _NAMES if is_called(name, names)), None)
    if role is None and (part := _OF_A_PART.match(name)) is not None:
        return role_of(name[part.end() :])
    if role is None and (end := size_at_the_end(name)):
        return role_of(end)
    # Any other name with "drop" in it is a rate, too; but not of what goes into the attention, or of whole blocks.
    return "dropout" if role is None and "drop" in name.lower() and not _DROPS_ELSEWHERE.search(name) else role


def value_of(
    role: Role, head: int, d_model: int, rate: float, reading: WidthReading, *, kv_heads: int | None = None
) -> Any:  # fmt: skip
    """Return what an argument of this role is given; there are as many heads of keys as of queries, unless it is said."""
    of_head, of_all = d_model // head, d_model
    if role == "head width":
        return of_all if reading == "all of all heads" else of_head
    if role == "other width":
        return of_head if reading == "all of one head" else of_all
    if role == "score factor":  # not among the others: heads may have no feature, which a constructor is to refuse
        return 1 / math.sqrt(of_head)
    if role == "map":
        return nn.Linear(d_model, d_model)
    if role == "dropout layer":
        return nn.Dropout(rate)
    queries, keys = _LENGTHS.get()
    values: dict[Role, Any] = {
        "head": head, "kv head": kv_heads or head, "d_model": d_model, "dropout": rate,
        "length": keys, "query length": queries, "key length": keys, "tokens": keys, "layer": 0, "on": True,
        "off": False, "feed-forward": 2 * d_model, "score divisor": math.sqrt(of_head),
    }  # fmt: skip
    return values[role]


WORDS: dict[Role, str] = {
    "length": f"{LENGTH} positions, more than any case has",
    "query length": f"{LENGTH} positions, more than any case has",
    "key length": f"{LENGTH} positions, more than any case has",
    "tokens": f"{LENGTH} positions, more than any case has",
    "layer": "0, the first layer",
    "on": "True",
    "off": "False",
    "dropout layer": "nn.Dropout",
    "feed-forward": "2 x d_model",
    "kv head": "as many as heads, unless kv_heads is declared",
}
