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
from mhsa.subject.docstrings.mask_polarity import meanings, polarities, says_what_true_is
from mhsa.subject.docstrings.passages import about_the_mask, documented, mask_parameter

PADDING_OF_KEYS = re.compile(r"key_?pad", re.IGNORECASE)  # torch's name, which has one meaning: it marks what is hidden


@dataclass(frozen=True)
class Stated:
    """A meaning that the code states, and where.

    Attributes:
        twice: whether a docstring says it, and it is what the name says or what is usual: no author can have meant another.
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
        by_name = meaning == "blocked" and PADDING_OF_KEYS.search(name) is not None
        usual = meaning == "allowed" and not _marks_what_is_hidden(name)
        usual = usual and any(says_what_true_is(text) for text in about_the_mask(adapter))
        return Stated(meaning, "documented", by_name or usual)
    annotation = str(_annotation(adapter, name))
    if re.search(r"(Float|Half|Double)Tensor", annotation):
        return Stated("additive", "annotated")
    if _marks_what_is_hidden(name):
        return Stated("blocked", "named")
    commented = {meaning for text in comments_on_masks(adapter) for meaning in polarities(text)}
    return Stated(commented.pop(), "documented") if len(commented) == 1 else None


def _marks_what_is_hidden(name: str) -> bool:
    """Whether a mask is named after what it marks, as torch's key_padding_mask."""
    return "pad" in name.lower() or name.lower() in HIDING


def _annotation(adapter: Adapter, name: str) -> Any:
    owners = [owner for owner in documented(adapter) if callable(owner) and not isinstance(owner, type)]
    function: Callable[..., Any] | None = next(iter(owners), None)
    try:
        return inspect.signature(function).parameters[name].annotation if function else ""
    except (TypeError, ValueError, KeyError):
        return ""
