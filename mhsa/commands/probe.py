"""``mhsa probe``: how a subject is read, and how each part of that is known; no property runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mhsa.commands.frame import frame
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.options.probe import ProbeArguments
from mhsa.commands.subject_tables.pin_reading import pin
from mhsa.commands.verify import configured, named
from mhsa.records.declarations import in_words
from mhsa.records.facts import jsonable
from mhsa.records.request import Request
from mhsa.records.understood import pinned
from mhsa.run.probing import probe as read_subject
from mhsa.run.process_limits import default_memory

if TYPE_CHECKING:
    from rich.text import Text

    from mhsa.records.results import SubjectResult

_MOST = 2  # lines of one part; the JSON has all
_TIMEOUT = 120.0  # seconds, as long as a property may take


def probe(args: ProbeArguments) -> int:
    """Understand one subject, print how, and pin it with ``--write``."""
    from mhsa.reports.line_folding import show

    with frame(args.files, no_color=args.no_color) as out:
        configuration = configured(args.config)
        (request,) = named([args.subject], configuration)
        request = declared_by(args.contract, args.argument, replace(request, device=args.device or request.device))
        memory = args.memory or configuration.memory or default_memory()
        result = read_subject(request, args.timeout or configuration.timeout or _TIMEOUT, memory)
        console = out.console
        show(console, _lines(result, request, console.width))
        answered = bool(result.question and args.accept and result.declaration)
        code = 0 if not result.reason or (args.write and answered) else 2
        code = out.finish(code, {"json": lambda: json.dumps(jsonable(as_data(result)), indent=2) + "\n"})
        if args.write and (answered or not result.reason):
            contract = pinned(result.reading) | (result.declaration if answered else {})
            for words in pin(configuration, request, contract):
                console.print(f"  {words}", highlight=False, markup=False, soft_wrap=True)
        elif args.write:
            hint = "; --accept declares what is suggested" if result.declaration else ""
            console.print(f"  nothing was written{hint}", highlight=False, markup=False)
        return code


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
