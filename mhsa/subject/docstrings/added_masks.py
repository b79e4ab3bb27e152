"""Words that say that a mask is added to the scores. How many of them are enough depends on what follows from it."""

from __future__ import annotations

import re

_MAY_BE_ADDED = re.compile(r"\badditive\b|\badded\b|\badds\b|-\s?inf|\bbias\b", re.IGNORECASE)
_IS_ADDITIVE = re.compile(r"\badditive\b|\badded\b|\badds\b|-\s?inf|-1e\d|float mask", re.IGNORECASE)
_ANY_NUMBER = re.compile(r"\badded\b|\badds\b|\bbias(es)?\b", re.IGNORECASE)
# Words that leave open what a finite number gives: all values are listed, or the scores are not yet scaled.
_LISTED = re.compile(r"-\s?inf|-\s?\d+(\.\d*)?e\d|-\s?1\d{3,}|negative|\bmin\b|\bNEG_INF\b", re.IGNORECASE)
_OTHER_SCORES = re.compile(r"\braw\b|\bunscaled\b|\b(before|prior to)\b.{0,24}\bscal|\bpre-?scal", re.IGNORECASE)
# A mask that may be of either kind: "a bool mask hides where True, a float mask is added".
_FLOATS_ADDED = re.compile(
    r"\bfloat(ing)?([- ]point)?( (masks?|tensors?|ones?|values?|numbers?))? (is|are|will be|gets?) (then |simply )?added\b"
    r"|\bfloat(ing)?([- ]point)?( (masks?|tensors?|ones?|values?|numbers?))?:? (added|adds) to\b"
    r"|\badds? (a |the |any )?(float\w*|additive)( (masks?|tensors?))?\b",
    re.IGNORECASE,
)
_CONVERTED = re.compile(r"\b(converted|cast|turned|transformed|internally|not|never)\b", re.IGNORECASE)


def may_be_added(text: str) -> bool:
    """Whether anything sounds like a mask that is added."""
    return _MAY_BE_ADDED.search(text) is not None


def is_additive(text: str) -> bool:
    """Whether the mask is one that is added, of 0 and -inf if nothing else is said."""
    return _IS_ADDITIVE.search(text) is not None


def is_added_whatever_it_holds(text: str) -> bool:
    """Whether a docstring says that the mask is added, whatever its numbers are."""
    return _ANY_NUMBER.search(text) is not None and not _LISTED.search(text) and not _OTHER_SCORES.search(text)


def are_floats_added(text: str) -> bool:
    """Whether a docstring says of a mask that hides by True or False that one of floating numbers is added."""
    sentences = [x for x in re.split(r"(?<=[.;])\s", text) if _FLOATS_ADDED.search(x) and not _CONVERTED.search(x)]
    return bool(sentences) and is_added_whatever_it_holds(text)
