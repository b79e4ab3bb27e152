"""Which of two values hides, as words say it: "True may be attended", "1 for padding", "masked keys are marked with True"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mhsa.records.conventions.values import MaskMeaning
from mhsa.subject.docstrings.added_masks import is_additive

_SHOWN = r"\b(attend(s|ed)?|keep|kept|valid|allow(s|ed)?|real|visible|tokens?|unmasked|unpadded|included?|participates?)\b"
_SHOWN_BY_NOT = r"\b(not|non|never|un)[- ]?(be )?(masked|padd(ed|ing)|pad|ignored|hidden|blocked|excluded)\b"
_HIDDEN = (
    r"\b(mask(s|ed)?|invalid|ignored?|pad(s|ded|ding)?|hid(es?|den)|block(s|ed)?|exclude[ds]?|prevent(s|ed)?|disallow(s|ed)?)\b"
)
_HIDDEN_BY_NOT = r"\b(not|never|cannot|no|may not|must not)\b.{0,24}\b(attend(ed)?|allowed|valid|visible|kept)\b"
_TRUE, _FALSE = r"(?<![\w.-])(true|1(\.0)?|ones?|nonzero)(?![\w.])", r"(?<![\w.-])(false|0(\.0)?|zeros?)(?![\w.])"
_INDICATED_BY = r"\b(indicated|marked|denoted|represented|flagged|signalled)\s+(by|with|as)\W*$"  # ... by True

_TRUE_SHOWS = re.compile(
    r"\btrue\b\W{0,4}(\w+\W+){0,4}?(attend(ed|s)?|keep|kept|visible|allowed|valid|participates?)\b", re.IGNORECASE
)


def meanings(text: str) -> Iterator[MaskMeaning]:
    """Yield what a docstring says that a mask means."""
    if is_additive(text):
        yield "additive"
        if not re.search(r"\b(true|bool)", text, re.IGNORECASE):
            return
    yield from polarities(text)


def polarities(text: str) -> Iterator[MaskMeaning]:
    """Yield for each clause that names one of two values what that value means."""
    for clause in re.split(r"[.,;()]|\b(?:and|while|but|else|otherwise)\b", text):
        true, false = (re.search(words, clause, re.IGNORECASE) for words in (_TRUE, _FALSE))
        if bool(true) == bool(false):
            continue
        flag = true or false
        assert flag is not None
        rest = clause[: flag.start()] if re.search(_INDICATED_BY, clause[: flag.start()]) else clause[flag.end() :]
        shown = re.search(_SHOWN_BY_NOT, rest, re.IGNORECASE) is not None
        hidden = re.search(_HIDDEN_BY_NOT, rest, re.IGNORECASE) is not None
        if not (shown or hidden):
            hidden = re.search(_HIDDEN, rest, re.IGNORECASE) is not None
            shown = not hidden and re.search(_SHOWN, rest, re.IGNORECASE) is not None
        if shown or hidden:
            yield "allowed" if shown == bool(true) else "blocked"


def says_what_true_is(text: str) -> bool:
    """Whether a clause says directly of True that it is attended to: "True = attend", "True: keep"."""
    return _TRUE_SHOWS.search(text) is not None
