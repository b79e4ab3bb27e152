"""Text from outside, made fit for every report: without what cannot be printed, and not longer than is read.

What a format reads as more than text (HTML, Markdown, workflow commands) is escaped where that format is written.
"""

from __future__ import annotations

import re

LONGEST = 1000  # characters of what was observed: annotations are cut after about 4000, and a log of longer ones is not read
# What XML 1.0 forbids or advises against: control characters, and lone surrogates, which cannot be printed either.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: object) -> str:
    """Return the text without what can neither be written as XML nor printed."""
    return _FORBIDDEN.sub("", str(text))


def cut(text: str, most: int = LONGEST) -> str:
    """Return the text, cut after ``most`` characters."""
    return text if len(text) <= most else text[:most] + " ..."
