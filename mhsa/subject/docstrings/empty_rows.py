"""What docstrings say that a query without any allowed key gets."""

from __future__ import annotations

import re

from mhsa.records.conventions.values import FullyMaskedRow
from mhsa.source.docstring_lines import docstring_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.passages import documented

_HIDDEN = r"(masked|hidden|blocked|padded|padding)"
_ALLOWED = r"(allowed|visible|valid|attendable|unmasked|permitted|real|remaining|live)"
# A query without any allowed key: "fully masked rows", "a query that may attend to no key", "nothing to attend to".
_EMPTY = re.compile(
    rf"\b((fully|completely|entirely|totally)[- ]|all-){_HIDDEN}\b(?! keys?\b)"
    r"|\b(rows?|quer(y|ies)|samples?|tokens?|sequences?)\b[^,;.]{0,40}?"
    rf"\b(no|without( any| a)?|not a single|cannot \w+ any|not \w+ any) ({_ALLOWED} )*(keys?|positions?)\b"
    rf"|\bkeys? (is|are) all {_HIDDEN}\b"
    rf"|\b(all|every)( of)?( (its|their|the))? keys?( of \w+ \w+)?( is| are)?( all)? {_HIDDEN}\b"
    r"|\bsees? (no|nothing|zero)\b|\battend(s|ing)? to (nothing|no key)\b|\bnothing to attend\b"
    rf"|\bempty ((leading|query) )?rows?\b|\bif everything is {_HIDDEN}\b",
    re.IGNORECASE,
)
_ZEROS = (
    r"\b(zeros?|zeroed|zeroes)\b"
    r"|\b(gives?|gets?|returns?|is|are|yields?|outputs?|becomes?|receives?|produces?) (exactly )?0(\.0)?(?!\w|\.\d)"
)
_SAID: dict[FullyMaskedRow, re.Pattern[str]] = {
    "zeros": re.compile(_ZEROS, re.IGNORECASE),
    "uniform": re.compile(
        r"\buniform(ly)?\b|\b(averages?|averaged|means?|averaging)\b.{0,30}\b(values?|keys?|all|everything)\b", re.IGNORECASE
    ),
    "nan": re.compile(r"\bnan\b", re.IGNORECASE),
}
# What takes the word back, or tells it of something else.
_TAKEN_BACK = re.compile(
    r"\b(no|not|never|avoid(s|ing)?|without|instead of|rather than|prevent(s|ing)?|against|non|must|should|caller)\W+"
    r"(\w+\W+){0,3}$",
    re.IGNORECASE,
)
_NEAR = 80  # characters between the words for such a row and those for what it gets: a clause


def stated_row(adapter: Adapter) -> FullyMaskedRow | None:
    """Return what docstrings say that a query without any allowed key gets; None where they say nothing, or two things."""
    texts = (" ".join(docstring_of(owner).split()) for owner in documented(adapter))
    found = {kind for text in texts for sentence in re.split(r"(?<=[.;:])\s", text) for kind in _said_in(sentence)}
    return found.pop() if len(found) == 1 else None


def _said_in(sentence: str) -> list[FullyMaskedRow]:
    rows = list(_EMPTY.finditer(sentence))
    return [kind for kind, words in _SAID.items() if any(_told(sentence, row, words) for row in rows)]


def _told(sentence: str, row: re.Match[str], words: re.Pattern[str]) -> bool:
    """Whether words for what such a row gets stand near the words for it, and are not taken back."""
    for said in words.finditer(sentence):
        after = said.start() >= row.end()
        between = sentence[row.end() : said.start()] if after else sentence[said.end() : row.start()]
        before = between if after else sentence[: said.start()]
        apart = after or said.end() <= row.start()
        if apart and len(between) <= _NEAR and not _TAKEN_BACK.search(before):
            return True
    return False
