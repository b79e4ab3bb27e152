"""What the code itself says of the polarity of a mask: the name of the parameter, its annotation, the docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mhsa.introspect.readings.masks.comments import comments_on_masks
from mhsa.records.conventions.values import MaskMeaning
from mhsa.records.names import HIDING, is_lengths
from mhsa.records.understood import Known
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.mask_polarity import meanings, polarities
from mhsa.subject.docstrings.passages import about_the_mask, documented, mask_parameter

_OF_PADDING = re.compile(r"key_?pad", re.IGNORECASE)  # torch's name, which marks what is hidden


@dataclass(frozen=True)
class Stated:
    """A meaning that the code states, and where.

    Attributes:
        twice: whether a docstring and the name say it, so that no other meaning is what its author can have meant.
    """

    meaning: MaskMeaning
    known: Known
    twice: bool = False


def stated_meaning(adapter: Adapter) -> Stated | None:
    """Return what docstrings, else the annotation, else the name of the mask's parameter, else comments say that it means."""
    name = mask_parameter(adapter)
    if not name:
        return None
    if is_lengths(name):
        return Stated("lengths", "named")
    said = {meaning for text in about_the_mask(adapter) for meaning in meanings(text)}
    if len(said) == 1:
        meaning = said.pop()
        return Stated(meaning, "documented", meaning == "blocked" and _OF_PADDING.search(name) is not None)
    annotation = str(_annotation(adapter, name))
    if re.search(r"(Float|Half|Double)Tensor", annotation):
        return Stated("additive", "annotated")
    if "pad" in name.lower() or name.lower() in HIDING:  # named after what it marks, as torch's key_padding_mask
        return Stated("blocked", "named")
    commented = {meaning for text in comments_on_masks(adapter) for meaning in polarities(text)}
    return Stated(commented.pop(), "documented") if len(commented) == 1 else None


def _annotation(adapter: Adapter, name: str) -> Any:
    owners = [owner for owner in documented(adapter) if callable(owner) and not isinstance(owner, type)]
    function: Callable[..., Any] | None = next(iter(owners), None)
    try:
        return inspect.signature(function).parameters[name].annotation if function else ""
    except (TypeError, ValueError, KeyError):
        return ""
