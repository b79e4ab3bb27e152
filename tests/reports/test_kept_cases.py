"""Which saved cases stay: the last failure of each subject and property, until it holds again, and no more than a cap."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mhsa.records.case import Case
from mhsa.records.case_files.case_file import path_of, save
from mhsa.records.case_files.case_json import encode
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.reports import kept_cases as keeping
from mhsa.reports import write as reporting
from mhsa.reports.kept_cases import keep_within

ONE, TWO = "oracle.output_without_mask", "masks.masking_is_deleting"
DRAWN = encode({"case": Case("float64", 1, 1, 1, 2, 2)})


def found(identity: str, outcome: str) -> PropertyResult:
    return PropertyResult(identity, outcome, counterexample={"message": "off", "drawn": DRAWN} if outcome == "fail" else None)


def ran(folder: Path, request: Request, **outcomes: str) -> list[str]:
    """Report a run in which these outcomes came of ONE and TWO; return the cases that are there afterwards."""
    properties = [found({"one": ONE, "two": TWO}[name], outcome) for name, outcome in outcomes.items()]
    results = [SubjectResult(request.subject, label=request.label, properties=properties)]
    run = SimpleNamespace(strict=False, results=results, diagnoses={}, environment={}, known={})
    reporting.report({}, run, folder, [request], 0)
    return sorted(path.name for path in folder.glob("*.json"))


MINE = Request("mine", "m:A")


def test_what_holds_again_has_no_case_any_more(tmp_path: Path) -> None:
    both = [f"mine--{TWO}.json", f"mine--{ONE}.json"]
    assert ran(tmp_path, MINE, one="fail", two="fail") == both
    assert ran(tmp_path, MINE, one="fail") == both, "-k: what did not run says nothing"
    for outcome in ("error", "not-applicable", "expected-failure"):
        assert ran(tmp_path, MINE, one=outcome, two="fail") == both
    assert ran(tmp_path, MINE, one="pass", two="fail") == both[:1]
    assert ran(tmp_path, MINE, two="unexpected-pass") == []


@pytest.mark.parametrize(
    ("then", "now", "left"),
    [
        ({}, {"seed": 3}, 0),
        ({"profile": "ci"}, {}, 1),
        ({}, {"profile": "ci"}, 0),
        ({"dtypes": ("bfloat16",)}, {}, 1),
        ({}, {"dtypes": ("float64",)}, 1),
        ({"dtypes": ("float64",)}, {}, 0),
        ({"device": "cuda"}, {}, 1),
    ],
)
def test_it_must_hold_where_it_failed(tmp_path: Path, then: dict, now: dict, left: int) -> None:
    ran(tmp_path, Request("mine", "m:A", **then), one="fail")
    assert len(ran(tmp_path, Request("mine", "m:A", **now), one="pass")) == left


def test_another_subjects_case_stays(tmp_path: Path) -> None:
    other = Request("mine_A", "m:B")
    (name,) = ran(tmp_path, other, one="fail")
    alike = Request("mine:A", "m:C")
    assert path_of(tmp_path, alike, ONE).name == name, "two labels that make one file name"
    assert ran(tmp_path, alike, one="pass") == [name]
    assert ran(tmp_path, MINE, one="pass") == [name]


def test_a_file_that_is_no_case_stays(tmp_path: Path) -> None:
    own = path_of(tmp_path, MINE, ONE)
    own.write_text('{"kind": "something else"}')
    ran(tmp_path, MINE, one="pass")
    assert own.exists()


def test_the_oldest_cases_go_first_and_nothing_else_does(tmp_path: Path) -> None:
    kept = [tmp_path / "notes.json", tmp_path / "my--notes.json", tmp_path / "b--c.txt", tmp_path / "link--x.json"]
    for path in kept[:3]:
        path.write_text('{"kind": "mine"}')
    cases = [save(tmp_path, Request(f"s{n}", "m:A"), found(ONE, "fail"), {}) for n in range(6)]
    data = json.loads(cases[1].read_text())
    cases[1].write_text(json.dumps(data | {"schema": 99, "property": "gone.in_this_version"}))
    kept[3].symlink_to(cases[5])
    for n, path in enumerate([*kept[:3], *cases]):
        os.utime(path, (n, n))
    keep_within(tmp_path, {cases[0]}, most=4)  # 6 cases and one file that is called like one
    assert [path.exists() for path in cases] == [True, False, False, False, True, True]
    assert all(path.exists() for path in kept)
    keep_within(tmp_path, set(), most=4)
    assert cases[0].exists()


def test_a_run_keeps_the_folder_within_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "keep_within", lambda folder, saved: keep_within(folder, saved, 2))
    for n in range(4):
        left = ran(tmp_path, Request(f"s{n}", "m:A"), one="fail")
    assert left == [f"s2--{ONE}.json", f"s3--{ONE}.json"]
    assert keeping.MOST == 500
