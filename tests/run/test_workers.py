"""How many processes judge, and that several judge each property once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run import workers
from mhsa.run.child import Child, Event
from mhsa.run.claims import Claims
from mhsa.run.runner import run

BOUND = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

ONE = [Request.of("m:A")]


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", BOUND),
        ("150000 100000", 1),
        ("50000 100000", 1),  # half a core is one, too
        ("100000000 100000", BOUND),
        ("what no kernel writes", BOUND),
        (None, BOUND),
    ],
)
def test_cores_are_those_that_a_container_is_granted(
    quota: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    monkeypatch.setattr(workers, "_QUOTA", file)
    assert workers.cores() == cores


def test_one_process_judges_where_one_is_needed_and_in_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 64)
    assert workers.default_workers(ONE) == 1  # this is a test
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert workers.default_workers(ONE, alone=True) == 1
    assert workers.default_workers([*ONE, Request.of("m:B", device="cuda")]) == 1
    assert workers.default_workers(ONE) == workers.MOST
    monkeypatch.setattr(workers, "cores", lambda: 2)
    assert workers.default_workers(ONE) == 2


def test_what_one_has_taken_no_other_gets(tmp_path: Path) -> None:
    one, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert one.take(1, "oracle.output")
    assert not other.take(1, "oracle.output")
    assert not one.take(1, "oracle.output")
    assert other.take(2, "oracle.output")  # another subject's
    other.take_all(1, ["oracle.output", "heads.sum"])
    assert not one.take(1, "heads.sum")


def test_two_processes_judge_each_property_once_and_both_judge() -> None:
    seen: list[Event] = []
    request = Request.of("mhsa:MultiHeadAttention")
    (alone,) = run(Options((request,), keyword="test_masks.py"))
    (shared,) = run(Options((request,), keyword="test_masks.py", workers=2), seen.append)
    assert [(p.id, p.outcome, p.cases, p.worst_error_over_bound) for p in shared.properties] == [
        (p.id, p.outcome, p.cases, p.worst_error_over_bound) for p in alone.properties
    ]
    assert shared.notes == alone.notes
    assert sorted(e.id for e in seen if e.kind == "done") == sorted(p.id for p in alone.properties)
    assert sum(e.kind == "loading" for e in seen) == 2
    assert 0 < shared.seconds < alone.seconds + sum(p.seconds for p in shared.properties)


def test_where_claims_were_removed_a_failure_stays(tmp_path: Path) -> None:
    result = SubjectResult("m:A")
    child = Child(Options((Request.of("m:A"),)), (Request.of("m:A"),), tmp_path, [result], lambda event: None)
    for outcome in ("pass", "fail", "pass"):
        child.add(1, PropertyResult("oracle.output_without_mask", outcome))  # type: ignore[arg-type]
    assert [p.outcome for p in result.properties] == ["fail"]


def test_x_ends_a_subject_in_all_processes(corpus: Path) -> None:
    (result,) = run(
        Options((Request.of(str(corpus / "wrong" / "scale_d_model.py")),), exit_first=True, workers=2, shrink=False)
    )
    assert result.verdict == "violated"
    assert len(result.properties) < 10  # of more than a hundred
