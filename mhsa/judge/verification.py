"""``mhsa.verify(module_or_class)``: judge an object in this process, and return the results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa.judge.checked_arguments import Conditions, matching, requested_subjects
from mhsa.records.catalogue import catalogue
from mhsa.records.configuration import find, read
from mhsa.records.explained import ask_instead
from mhsa.records.failures.expected_failures import judged
from mhsa.records.lines_to_paste import answers
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.reports.phrases import all_figures, not_judged

if TYPE_CHECKING:
    from mhsa.records.contract import Contract
    from mhsa.subject.subject import Subject

_WHOLE = 5  # failures that are printed with reason and case; .failures has all
_NAMED = 3  # failed properties that the repr, one line, names


class Verification(SubjectResult):
    """The results of :func:`verify`. It is true only if the subject holds, so ``assert mhsa.verify(...)`` works."""

    @property
    def failures(self) -> list[PropertyResult]:
        """The properties that fail, each with ``id``, ``reason`` and ``counterexample``."""
        return [p for p in self.properties if p.outcome == "fail"]

    def __bool__(self) -> bool:
        return self.verdict == "holds"

    def __repr__(self) -> str:
        names = [p.id for p in self.failures]
        more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"<{self.label} {self.summary}{': ' if names else ''}{', '.join(names[:_NAMED])}{more}>"

    def __str__(self) -> str:
        lines = [self.label, *(f"  {topic:<11} {words}" for topic, words in self.notes)]
        for p in self.failures[:_WHOLE]:
            lines.append(f"  FAILED {p.id}: {p.reason}")
            case = (p.counterexample or {}).get("case") or {}
            lines += [f"    smallest case: {case['words']}"] if case else []
        if rest := [p.id for p in self.failures[_WHOLE:]]:
            lines.append(f"  {len(rest)} more fail, each with its reason in .failures: {', '.join(rest)}")
        lines += [f"  warning: {words}" for words in self.warnings]
        return "\n".join([*lines, f"  {self.summary}"])

    @property
    def summary(self) -> str:
        """The verdict with its figures, or the reason why there is none."""
        if self.verdict in ("unjudged", "question"):
            then = f"\n  {self.then}" if self.then else ""
            how = f"\n\n{self.declare['class']}\n" if self.declare else ""
            return f"{self.verdict}: {self.why}{how}{then}"
        left = f"; {not_judged(self.not_judged)}" if self.not_judged else ""
        return f"{self.verdict}{left}: {all_figures(self.properties)}"


def verify(
    subject: Any,
    *,
    contract: Contract | Mapping[str, Any] | None = None,
    profile: str | None = None,
    seed: int | None = None,
    dtypes: Any = (),
    device: Any = None,
    arguments: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    properties: Sequence[str] | str = (),
    raise_on_failure: bool = False,
) -> Verification:
    """Judge an attention implementation by every property, in this process.

    Args:
        subject: an nn.Module class or object, a factory, a function on [B, H, T, d] or an :class:`mhsa.Adapter`; or the name
            of one, as the command line takes it. An object is copied, never changed.
        contract: a :class:`mhsa.Contract`, or a dict of the fields that differ from what the subject itself says.
        profile: "quick", "ci" or "thorough": up to 24, 300 or 2000 cases for each property.
        seed: of the cases.
        dtypes: "float64", "float32", "bfloat16", "float16", or torch's own; by default the first two.
        device: where it is judged.
        arguments: for its constructor, in addition to those that mhsa knows by name.
        expected_failures: why a property may fail, by its id or by a pattern: ``{"masks.*": "issue 12"}``.
        properties: ids or patterns, if not all are to be judged.
        raise_on_failure: raise an AssertionError, with the result in words, unless the subject holds.

    Raises:
        AssertionError: it does not hold, or cannot be judged, and ``raise_on_failure`` is true.
        TypeError: an argument of a wrong type.
        ValueError: an unknown profile, dtype, field of a contract or id of a property, with the nearest that there is.
        ConfigurationError: ``subject`` is a name, and the [tool.mhsa] that applies to this folder is wrong.

    The subject runs in this process, with your secrets and without limits: ``mhsa verify`` isolates it.
    """
    conditions = Conditions("verify", profile, seed, dtypes, device, contract, arguments, expected_failures)
    (requested,) = requested_subjects("verify", [subject], read(find(Path.cwd()) if isinstance(subject, str) else None))
    request = conditions.apply(requested.request)
    patterns = [properties] if isinstance(properties, str) else list(properties)
    chosen = matching("verify(properties=...)", patterns) if patterns else []
    result = _judge(request, requested.target, chosen)
    if raise_on_failure and not result:
        raise AssertionError(str(result))
    return result


def _judge(request: Request, target: Any, chosen: Sequence[str]) -> Verification:
    from mhsa.judge.inline import load_inline
    from mhsa.records.errors import SubjectError

    result = Verification(request.spec, label=request.label, device=request.device)
    loaded = load_inline(request, target)
    subject = loaded.subject
    if loaded.question is not None:
        result.question, result.reason, result.declaration = True, str(loaded.question), dict(loaded.question.declaration)
    if isinstance(subject, SubjectError):
        result.reason = result.reason or str(subject)
    else:
        _judge_properties(result, request, subject, chosen)
        ask_instead(result)
    result.declare = answers(result.declaration, request)
    return result


def _judge_properties(result: Verification, request: Request, subject: Subject, chosen: Sequence[str]) -> None:
    """Add the subject's reading, and what every chosen property found, to the result."""
    from mhsa.judge.inline import find_inline

    result.notes, result.place, result.not_judged = list(subject.notes), subject.place, list(subject.not_judged)
    result.reading = list(subject.understood)
    for p in catalogue():
        if p.id in chosen if chosen else not (p.slow and request.profile == "quick"):
            start = time.perf_counter()
            finding = find_inline(request, subject, p.id)
            result_of_property = PropertyResult(**finding, seconds=time.perf_counter() - start)
            result.properties.append(judged(request, result_of_property))
    result.warnings += [
        f"{p.id} passes, but was expected to fail: remove it from expected_failures"
        for p in result.properties
        if p.outcome == "unexpected-pass"
    ]
