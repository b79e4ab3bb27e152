"""What is said of a subject's results once all of them are there: why there are none, and which expectations do not match."""

from __future__ import annotations

from mhsa.records.catalogue import catalogue
from mhsa.records.explained import ask_instead
from mhsa.records.lines_to_paste import answers
from mhsa.records.options import Options
from mhsa.records.request import Request, nearest_id, unmatched
from mhsa.records.results import SubjectResult


def look_back(request: Request, result: SubjectResult, options: Options) -> None:
    """Give the reason if nothing was judged, what answers a question, and warn of expectations that do not match."""
    ask_instead(result)
    result.declare = answers(result.declaration, request)
    if not result.properties and not result.reason and not result.interrupted:
        near = nearest_id(options.keyword, [p.id for p in catalogue()])
        hint = f"did you mean {near}?" if near else "`mhsa properties` lists them"
        result.reason = f"no property matches -k {options.keyword!r}; {hint}" if options.keyword else "no property ran"
    passed = [p.id for p in result.properties if p.outcome == "unexpected-pass"]
    result.warnings += [f"{identity} passes, but was expected to fail: remove it from expected_failures" for identity in passed]
    for e in unmatched(request, (p.id for p in catalogue())):
        result.warnings.append(f"expected_failures names {e.id!r}, and no property has that id; `mhsa properties` lists them")
    result.accepted = [words for words in request.not_judged if words in result.not_judged]
    if result.notes:  # what could not be loaded has nothing left to judge
        there = ", ".join(result.not_judged) or "nothing"
        result.warnings += [
            f"not_judged accepts {words!r}, and nothing is left under that name; left is {there}"
            for words in request.not_judged
            if words not in result.not_judged
        ]
    result.warnings += [f"the expected failure of {e.id} has no reason" for e in request.expected if not e.reason]
