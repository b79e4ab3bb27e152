"""What docstrings say that a query without any allowed key gets."""

from __future__ import annotations

import re

from mhsa.records.conventions.values import FullyMaskedRow
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.passages import about_the_whole_of

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
_GETS = (
    r"\b(gives?|gets?|returns?|is|are|yields?|outputs?|becomes?|receives?|produces?|set to|falls? back to|have|has)"
    r"( exactly| all| only| a| an| the| its| their| set to| output| outputs| context| contexts| rows?| weights?)*"
)
_SAID: dict[FullyMaskedRow, re.Pattern[str]] = {
    "zeros": re.compile(
        rf"{_GETS} (all[- ])?(zeros?|zeroed|zeroes|0(\.0)?)(?!\w|\.\d|[- ]?(length|gradient|key|pad|mask|division))",
        re.IGNORECASE,
    ),
    "uniform": re.compile(
        r"\buniform(ly)?\b|\b(mean|average) (of|over)\b|\baverag(e|es|ing|ed) (of |over )?(all|the|every|its|their)\b",
        re.IGNORECASE,
    ),
    "nan": re.compile(rf"{_GETS} nans?\b", re.IGNORECASE),
}
# What takes the word back, or tells it of something else, before it.
_TAKEN_BACK = re.compile(
    r"\b(no|not|never|avoid(s|ing)?|without|instead of|rather than|prevent(s|ing)?|against|non|must|should|caller|would|could"
    r"|might|used to|mask)\W+(\w+\W+){0,3}$",
    re.IGNORECASE,
)
# Sentences about something else than what is always so.
_ELSEWHERE = re.compile(
    r"\b(if (true|set|enabled|given)|unless|optional(ly)?|default(s|ed)?|otherwise|downstream|afterwards|rais(e|es|ed|ing)"
    r"|errors?|refus(e|es|ed))\b",
    re.IGNORECASE,
)
_OF_ROWS = re.compile(r"\b(rows?|quer(y|ies))\b", re.IGNORECASE)
_NEAR = 80  # characters between the words for such a row and those for what it gets, on either side of it


def stated_row(adapter: Adapter) -> FullyMaskedRow | None:
    """Return what docstrings say that a query without any allowed key gets; None where they say nothing, or two things.

    What they say of an argument other than a mask is about that one.
    """
    found = {kind for sentence in _sentences(adapter) for kind in _said_in(sentence)}
    return found.pop() if len(found) == 1 else None


def is_about_rows(adapter: Adapter) -> bool:
    """Whether such words are about single rows or queries, and not about whole samples or sequences alone."""
    return any(_said_in(sentence) and _OF_ROWS.search(sentence) for sentence in _sentences(adapter))


def _sentences(adapter: Adapter) -> list[str]:
    return re.split(r"(?<=[.;:])\s", about_the_whole_of(adapter))


def _said_in(sentence: str) -> list[FullyMaskedRow]:
    if _ELSEWHERE.search(sentence):
        return []
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
