"""``Mhsa-accept: BENCHMARK: 1.15x: REASON`` in the message of a commit: the same as a table of the file, for that commit.

It is looked for in the whole message, not only in its last paragraph: that of a squashed pull request holds several messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.figures import SEVERAL, Figures, parsed
from mhsa.bench.git.repository import Message
from mhsa.records.errors import UsageError, visible

KEY = "Mhsa-accept"
EXAMPLE = f"{KEY}: BENCHMARK: 1.15x: REASON"
_LINE = re.compile(rf"^{KEY}:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE | re.IGNORECASE)  # with the lines that continue it
_VALUE = re.compile(rf"(?P<benchmark>\S.*?)\s*:\s*(?P<figures>{SEVERAL})\s*(?::\s*(?P<reason>.*))?")


def line(benchmark: str, figures: Figures, reason: str) -> str:
    """Return the line that accepts something of a benchmark."""
    return f"{KEY}: {benchmark}: {figures}: {reason}"


def accepted_in(messages: Iterable[Message]) -> list[Acceptance]:
    """Return what messages accept.

    Raises:
        UsageError: a line has no reason, or is not understood; it says what to write.
    """
    return [_acceptance(message, found[1]) for message in messages for found in _LINE.finditer(message.text)]


def _acceptance(message: Message, words: str) -> Acceptance:
    value = visible(" ".join(words.split()))
    found = _VALUE.fullmatch(value)
    figures = parsed(found["figures"]) if found else None
    where = f"the message of {message.sha[:10]}"
    if found is None or figures is None:
        raise UsageError(
            f"{where} has the line '{KEY}: {value}', which is not understood; write {EXAMPLE}, with * for any part of a "
            f"benchmark's name and +15 operators, say, for what is counted: mhsa compare prints the lines"
        )
    if not found["reason"]:
        raise UsageError(f"{where} has the line '{KEY}: {value}' without a reason; write why behind it: {EXAMPLE}")
    return Acceptance(found["reason"], {found["benchmark"]: figures}, message.date, where, commit=message.sha)
