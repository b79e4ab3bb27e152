"""A file with several attentions: each is judged, as if all were named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mhsa.records.options import Options

if TYPE_CHECKING:
    from mhsa.records.request import Request
    from mhsa.reports.write import JudgedRun

_MOST = 8  # of one file: in the profile quick one takes some seconds, so the answer comes within a minute or two


def judge_each(options: Options, run: JudgedRun, judge: Callable[[Options], JudgedRun]) -> tuple[Options, JudgedRun]:
    """Judge what each file with several attentions may mean, in the place of that file; return all requests and results.

    Only of a file that was typed: a configured subject has a table of its own, which is about one.
    """
    apart = [_means(request, result.means) for request, result in zip(options.requests, run.results, strict=True)]
    named = {request.label for request in options.requests}
    new = {r.label: r for requests in apart for r in requests if r.label not in named}
    if run.interrupted or not new:
        return options, run
    more = judge(replace(options, requests=tuple(new.values())))
    judged = dict(zip(new, more.results, strict=True)) if more.results else {}
    requests, results = [], []
    for request, result, means in zip(options.requests, run.results, apart, strict=True):
        there = [r for r in means if r.label in judged]
        requests += there or [request]
        results += [judged.pop(r.label) for r in there] or [result]
    diagnoses = run.diagnoses | more.diagnoses
    both = replace(run, results=results, diagnoses=diagnoses, interrupted=more.interrupted)
    return replace(options, requests=tuple(requests)), both


def _means(request: Request, means: list[str]) -> list[Request]:
    """Return a request for each subject that a file means; none where they are too many or the file is configured."""
    if request.label != request.subject or request.submodule or len(means) > _MOST:
        return []
    return [replace(request, label=spec, subject=spec) for spec in means]
