"""One property on one subject, inside the user's own pytest session, judged as in a session of mhsa."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mhsa.introspect.questions import LoadedSubject, load_under, quiet, without_judging
from mhsa.judge.finding import explain, find
from mhsa.judge.property_modules import Effort, import_properties
from mhsa.judge.side_effects import SideEffectMonitor
from mhsa.judge.strategies import judging
from mhsa.records.catalogue import EVERYTHING, is_slow, properties_folder
from mhsa.records.errors import SubjectError
from mhsa.records.failures.expected_failures import judged_here
from mhsa.records.request import Request
from mhsa.reports.phrases import not_judged
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.torch_settings import on_one_thread, restored


@functools.cache
def _family(path: Path, profile: str, seed: int) -> ModuleType:
    return import_properties(path, Effort(profile, seed))


_subjects: dict[tuple[str, int], tuple[Any, Subject | SubjectError]] = {}


def load_inline(request: Request, target: Any = None) -> LoadedSubject:
    """Load a subject, or say why it cannot be judged; ``target`` is the object, where it was given in place of a name."""
    with torch.random.fork_rng(devices=[]):
        return load_under(request, target)


def _subject(request: Request, target: Any) -> Subject | SubjectError:
    """Load each subject once in a session."""
    key = repr(request), id(target)
    if key not in _subjects:
        subject = without_judging(request, load_inline(request, target))
        _subjects[key] = target, subject  # kept with it, so that no other object has its id
    return _subjects[key][1]


def _require_everything(request: Request, subject: Subject, *, strict: bool) -> None:
    """Pass where all that a user can reach is judged; else skip with what is not, or fail if that is what strict is for."""
    refused = [words for words in subject.not_judged if words not in request.not_judged]
    if refused and strict:
        said = f"{EVERYTHING}  {request.label}\n{not_judged(refused)}; strict = true makes that a failure"
        pytest.fail(f"{said}, unless not_judged = {json.dumps(refused)} accepts it in the configuration", pytrace=False)
    if subject.not_judged:
        pytest.skip(not_judged(subject.not_judged))


def find_inline(request: Request, subject: Subject, identity: str) -> dict[str, Any]:
    """Judge one property, and return its result, as in the JSON; everything around is put back."""
    family, _, name = identity.partition(".")
    test = getattr(_family(properties_folder() / f"test_{family}.py", request.profile, request.seed), f"test_{name}")
    error: BaseException | None = None
    watch = SideEffectMonitor()
    # The user's other tests go on with the random numbers that they would have had, and as many threads.
    with (
        check.recording() as record, judging(subject), restored(), on_one_thread(), quiet(), torch.random.fork_rng(devices=[])
    ):  # fmt: skip
        try:
            test(subject=subject)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as raised:
            error = raised
    changes = watch.changes(processes=not is_slow(identity))
    if changes and error is None:
        error = check.Violation(f"a call {changes}, but must leave the process alone", {"message": changes, "what": "call"})
    return find(record, error) | {"id": identity}


def judge_inline(request: Request, identity: str, *, strict: bool, target: Any = None) -> None:
    """Judge; the outcome is that of the test that calls this: pass, fail, skip or xfail."""
    subject = _subject(request, target)
    if isinstance(subject, SubjectError):
        pytest.fail(f"{request.label} cannot be judged: {subject}", pytrace=False)
    if identity == EVERYTHING:
        _require_everything(request, subject, strict=strict)
        return
    finding = find_inline(request, subject, identity)
    light = judged_here(request, identity, finding["outcome"], finding["reason"], finding["counterexample"])
    outcome, words = light.outcome, explain(finding | {"reason": light.reason}, request.label)
    if outcome == "not-applicable":
        pytest.skip(finding["reason"])
    if outcome == "expected-failure":
        pytest.xfail(light.reason)
    if outcome == "unexpected-pass" and strict:
        pytest.fail(f"{identity} of {request.label} passes, but was expected to fail: remove it from expected_failures", False)
    if outcome in ("fail", "error"):
        pytest.fail(words, pytrace=False)
