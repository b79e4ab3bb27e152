"""``mhsa probe``: how a subject is read, and how each part of that is known; no property runs."""

from __future__ import annotations

import argparse
import json
import signal
from typing import TYPE_CHECKING, Any

from mhsa.commands.pin_reading import pin
from mhsa.commands.verify import as_interrupt, configured, options_of
from mhsa.records.declarations import in_words
from mhsa.records.facts import jsonable
from mhsa.records.request import Request
from mhsa.records.understood import pinned
from mhsa.run.probing import probe as ask

if TYPE_CHECKING:
    from rich.text import Text

    from mhsa.records.results import SubjectResult

_MOST = 2  # lines of one part; the JSON has all
_TIMEOUT = 120.0  # seconds, as long as a property may take


def probe(given: argparse.Namespace) -> int:
    """Understand one subject, print how, and pin it with ``--write``."""
    from mhsa.reports.line_folding import show, wide_console
    from mhsa.reports.write import require_places, write_report

    require_places(given, ("json",))
    configuration = configured(given)
    options = options_of(given, configuration)
    (request,) = options.asked
    signal.signal(signal.SIGTERM, as_interrupt)  # so that the process that imports it is ended, too
    result = ask(request, options.timeout or _TIMEOUT, options.memory)
    console = wide_console(no_color=given.no_color, stderr=str(given.json) == "-")
    show(console, _lines(result, request, console.width))
    if given.json is not None:
        write_report(given.json, json.dumps(jsonable(as_data(result)), indent=2) + "\n")
    answered = bool(result.question and given.accept and result.declaration)
    understood = not result.reason or answered
    if given.write and understood:
        contract = pinned(result.reading) | (result.declaration if answered else {})
        for words in pin(configuration, request, contract):
            console.print(f"  {words}", highlight=False, markup=False, soft_wrap=True)
    elif given.write:
        hint = "; --accept declares what is suggested" if result.declaration else ""
        console.print(f"  nothing was written{hint}", highlight=False, markup=False)
    return 0 if not result.reason or (given.write and answered) else 2


def as_data(result: SubjectResult) -> dict[str, Any]:
    """Return a reading as docs/json.md describes it."""
    return {
        "schema": "mhsa-probe-1",
        "subject": result.subject,
        "label": result.label,
        "answer": "question" if result.question else "unjudged" if result.reason else "understood",
        "reason": result.reason,
        "declaration": result.declaration,
        "declare": result.declare,
        "reading": [
            {"part": u.part, "text": u.text, "known": u.known, "declaration": dict(u.declaration)} for u in result.reading
        ],
        "contract": pinned(result.reading),
        "not_judged": result.not_judged,
    }


def _lines(result: SubjectResult, request: Request, width: int) -> list[Text]:
    from rich.text import Text

    from mhsa.reports.line_folding import hanging
    from mhsa.reports.tables import VERDICTS
    from mhsa.reports.terminal import question_lines

    lines = hanging("", request.label, width, style="bold")
    parts = max((len(u.part) for u in result.reading), default=0)
    known = max((len(u.how) for u in result.reading), default=0)
    for u in result.reading:
        lines += hanging(f"  {u.part:<{parts}}  {u.how:<{known}}  ", u.text, width, most=_MOST)
    if result.not_judged:
        lines += hanging("  not judged  ", ", ".join(result.not_judged), width, most=_MOST)
    if not result.reason:
        contract = pinned(result.reading)
        words = f"contract = {{ {in_words(contract)} }}" if contract else "nothing, it takes no mask"
        return [*lines, *hanging("  --write pins  ", words, width)]
    kind = "question" if result.question else "unjudged"
    words, empty, code = result.reason.partition("\n\n")
    first, *others = hanging(f"  {kind}: ", words, width)
    first.stylize(VERDICTS[kind], 0, len(kind) + 3)
    lines += [first, *others, *(Text(line) for line in ["", *code.splitlines()] if empty)]
    return [*lines, *question_lines(result, width, ways=1)]
