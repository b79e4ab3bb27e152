"""How many axes a docstring says that a mask has: a form with more or fewer is a question, though it fits."""

from __future__ import annotations

import re

from mhsa.introspect.readings.masks.stated_polarity import about, mask_parameter
from mhsa.records.conventions.values import MaskShape
from mhsa.subject.adapters.adapter import Adapter

_SHAPE = re.compile(r"[\[(]([^\[\]()]*,[^\[\]()]*)[\])]")
_SIZE = re.compile(r"\w+(\s?[*+/-]\s?\w+)?")
_SAMPLES = re.compile(r"batch|^\W*(?:bs|b|n|bsz)\W*$", re.IGNORECASE)
_NO_SIZE = re.compile(r"optional|default|bool\w*|float\w*|int|tensor|byte\w*|long\w*|none|true|false", re.IGNORECASE)


def stated_axes(adapter: Adapter) -> int | None:
    """Return the number of axes of every shape that docstrings give the mask; None where they give none, or different ones.

    Two axes say nothing: what takes such a mask often takes one of more axes, too, which can say more.
    """
    found = set()
    for text in about(adapter, mask_parameter(adapter)) if mask_parameter(adapter) else ():
        for inside in _SHAPE.findall(text):
            sizes = [size.strip() for size in inside.strip(" ,").split(",")]
            if all(_SIZE.fullmatch(size) and not _NO_SIZE.fullmatch(size) for size in sizes):
                found.add(len(sizes))
    return found.pop() if len(found) == 1 and found != {2} else None


def ends_in_one(adapter: Adapter) -> bool:
    """Return whether docstrings give the mask a shape whose last axis has size 1."""
    name = mask_parameter(adapter)
    shapes = [inside for text in (about(adapter, name) if name else ()) for inside in _SHAPE.findall(text)]
    return any(inside.strip(" ,").endswith(", 1") for inside in shapes)


def is_of_samples(adapter: Adapter) -> bool:
    """Return whether docstrings give the mask one matrix for each sample: ``(batch, q_len, k_len)``."""
    name = mask_parameter(adapter)
    shapes = [inside.split(",") for text in (about(adapter, name) if name else ()) for inside in _SHAPE.findall(text)]
    return bool(shapes) and all(len(sizes) == 3 and _SAMPLES.search(sizes[0]) is not None for sizes in shapes)


def axes_of(shape: MaskShape) -> int:
    """Return the number of axes of a form."""
    return shape.count(",") + 1
