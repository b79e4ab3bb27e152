"""Which shape docstrings give a mask: how many axes, of what, and whether all heads share one."""

from __future__ import annotations

import re

from mhsa.records.conventions.values import MaskShape
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.passages import about_masks, about_the_mask

_OF_HEADS = (
    r"[\[(]\s*[^,()\[\]]+,[^,()\[\]]*\b(H|h|nh|heads?|num_?heads?|n_?heads?|nhead)\b[^,()\[\]]*,[^,()\[\]]+,[^,()\[\]]+[\])]"
)
_SHARED_BY_HEADS = (
    r"\b(same|shared|identical|alike|equal|broadcast|repeated|expanded)\b.{0,40}\bheads?\b|\bheads?\b.{0,20}\b(shar|alike)"
)

# Queries by keys, as two readers take it: the first asks of any mask, the second of the one that is the parameter.
_QUERIES_BY_KEYS = r"[\[(]\s*(T|L|S|Tq|Lq|T_q|L_q|(seq|tgt|q|query)\w*)\s*,\s*(T|L|S|Tk|Lk|T_k|L_k|(seq|src|k|key)\w*)\s*[\])]"
_OF_THE_PARAMETER = r"[\[(]\s*(T|L|S|N|Tq|seq\w*|tgt\w*|q\w*len\w*)\s*,\s*(T|L|S|N|Tk|seq\w*|src\w*|k\w*len\w*)\s*[\])]"
_OF_SAMPLES = r"[\[(]\s*(N|b|bs|bsz|batch\w*)\s*,\s*\w+\s*[\])]"
_SAMPLES_BY_KEYS = rf"{_OF_SAMPLES}|padding"

_SHAPE = re.compile(r"[\[(]([^\[\]()]*,[^\[\]()]*)[\])]")
_SIZE = re.compile(r"\w+(\s?[*+/-]\s?\w+)?")
_SAMPLES = re.compile(r"batch|^\W*(?:bs|b|n|bsz)\W*$", re.IGNORECASE)
_NO_SIZE = re.compile(r"optional|default|bool\w*|float\w*|int|tensor|byte\w*|long\w*|none|true|false", re.IGNORECASE)


def says_shared_by_heads(adapter: Adapter) -> bool:
    """Whether docstrings say that all heads have one mask."""
    return re.search(_SHARED_BY_HEADS, about_masks(adapter), re.IGNORECASE) is not None


def has_heads(adapter: Adapter) -> bool:
    """Whether docstrings give the mask four axes of which the second one is of the heads, which need not share one."""
    text = about_masks(adapter)
    return re.search(_OF_HEADS, text) is not None and not says_shared_by_heads(adapter)


def has_queries_by_keys_alone(adapter: Adapter) -> bool:
    """Whether docstrings give the mask a shape [Tq, Tk], and none of samples and keys, for which it could be taken."""
    text = about_masks(adapter)
    return re.search(_QUERIES_BY_KEYS, text) is not None and not re.search(_SAMPLES_BY_KEYS, text, re.IGNORECASE)


def has_two_axes_of_two_kinds(adapter: Adapter) -> bool:
    """Whether docstrings give the mask a shape [Tq, Tk] and one of samples and keys: sizes alone tell them apart."""
    text = about_masks(adapter)
    return re.search(_QUERIES_BY_KEYS, text) is not None and re.search(_OF_SAMPLES, text, re.IGNORECASE) is not None


def is_queries_by_keys(adapter: Adapter) -> bool:
    """Whether docstrings give the mask's parameter a shape [Tq, Tk]."""
    return any(re.search(_OF_THE_PARAMETER, text) for text in about_the_mask(adapter))


def stated_axes(adapter: Adapter) -> int | None:
    """Return the number of axes of every shape that docstrings give the mask; None where they give none, or different ones.

    Two axes say nothing: what takes such a mask often takes one of more axes, too, which can say more.
    """
    found = set()
    for inside in _shapes(adapter):
        sizes = [size.strip() for size in inside.strip(" ,").split(",")]
        if all(_SIZE.fullmatch(size) and not _NO_SIZE.fullmatch(size) for size in sizes):
            found.add(len(sizes))
    return found.pop() if len(found) == 1 and found != {2} else None


def ends_in_one(adapter: Adapter) -> bool:
    """Return whether docstrings give the mask a shape whose last axis has size 1."""
    return any(inside.strip(" ,").endswith(", 1") for inside in _shapes(adapter))


def is_of_samples(adapter: Adapter) -> bool:
    """Return whether docstrings give the mask one matrix for each sample: ``(batch, q_len, k_len)``."""
    shapes = [inside.split(",") for inside in _shapes(adapter)]
    return bool(shapes) and all(len(sizes) == 3 and _SAMPLES.search(sizes[0]) is not None for sizes in shapes)


def axes_of(shape: MaskShape) -> int:
    """Return the number of axes of a form, as a contract names it."""
    return shape.count(",") + 1


def _shapes(adapter: Adapter) -> list[str]:
    """Return what stands between the brackets of each shape that docstrings give the mask."""
    return [inside for text in about_the_mask(adapter) for inside in _SHAPE.findall(text)]
