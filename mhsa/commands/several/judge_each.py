"""A file, or a layer, with several attentions: each is judged, as if all were named."""

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
    """Judge what each subject with several attentions may mean, in the place of it; return all requests and results.

    Only of one that was typed: a configured subject has a table of its own, which is about one. A layer of such a file is
    judged part by part in turn.
    """
    apart = [_means(request, result.means) for request, result in zip(options.requests, run.results, strict=True)]
    named = {request.label for request in options.requests}
    new = {r.label: r for requests in apart for r in requests if r.label not in named}
    if run.interrupted or not new:
        return options, run
    each = replace(options, requests=tuple(new.values()))
    each, more = judge_each(each, judge(each), judge)
    judged = list(zip(each.requests, more.results, strict=True)) if more.results else []
    pairs = []
    for request, result, means in zip(options.requests, run.results, apart, strict=True):
        there = [pair for r in means for pair in judged if pair[0].label == r.label or pair[0].label.startswith(f"{r.label}.")]
        pairs += there or ([] if judged and means else [(request, result)])
        judged = [pair for pair in judged if pair not in there]
    both = replace(
        run, results=[result for _, result in pairs], diagnoses=run.diagnoses | more.diagnoses, interrupted=more.interrupted
    )
    return replace(options, requests=tuple(request for request, _ in pairs)), both


def _means(request: Request, means: list[str]) -> list[Request]:
    """Return a request for each subject that is meant, the last with the classes that are built of them.

    None where they are too many, or the subject is configured.
    """
    if not request.is_unnamed or len(means) > _MOST:
        return []
    each = [replace(request, label=spec, subject=spec) for spec in means]
    if each and all("." not in spec.rpartition(":")[2] for spec in means):  # classes of a file, and no parts of a layer
        each[-1] = replace(each[-1], layers_of=tuple(spec.rpartition(":")[2] for spec in means))
    return each
