"""A cause and a hint fit the evidence, and hints are right more often than chance."""

import pytest

from benchmarks import hints as measured
from mhsa.bugs.diagnosis.conclude import conclude
from mhsa.bugs.diagnosis.hints import hints, raises_alike, worth_it
from mhsa.bugs.mutants.registry import mutants
from mhsa.records.power_record import recorded
from mhsa.records.results import PropertyResult, SubjectResult
from tests.helpers.places import ROOT

ANSWER = {"matches": [], "cases": 40, "wrong": 9, "left": [], "size": None, "dtype": "float64", "asked": ["float64"],
          "aspects": ["eval"], "site": ""}  # fmt: skip


def result(failed: list[str], reason: str = "output is wrong", absent: str = "no such property") -> SubjectResult:
    """A subject that fails these properties and passes the others, but for those that do not apply."""
    found = [PropertyResult(identity, "fail", reason=reason) for identity in failed if not identity.startswith(absent)]
    others = [identity for identity in recorded().order if identity not in failed and not identity.startswith(absent)]
    return SubjectResult("m", properties=[*found, *(PropertyResult(identity, "pass") for identity in others)])


def names(found: SubjectResult) -> list[str]:
    return [mutant.name for mutant, _ in hints(found)]


HINTED = next(m for m in mutants() if m.of_masks and m.name in names(result(list(recorded().mutants[m.name].kills))))
KILLS = list(recorded().mutants[HINTED.name].kills)


def test_a_bug_that_fails_nearly_the_same_is_named() -> None:
    diagnosis = conclude(result(KILLS), ANSWER, complete=True)
    assert diagnosis.kind == "similar"
    assert HINTED.name in [cause.name for cause in diagnosis.causes]


def test_no_bug_of_masks_is_named_for_a_subject_without_a_mask() -> None:
    found = hints(result(KILLS, absent="oracle.output_under_masks"))
    assert all(not mutant.of_masks for mutant, _ in found)


def test_nothing_is_named_where_most_failures_are_one_exception() -> None:
    raising = result(KILLS, "the call with query [2, 3, 8] raised RuntimeError: sizes must match at model.py:7")
    diagnosis = conclude(raising, ANSWER, complete=True)
    assert diagnosis.kind == "unknown"
    assert "raises the same kind of exception" in " ".join(diagnosis.words)
    assert not raises_alike(["output is wrong", "output is wrong", "the call raised ValueError: no"])


@pytest.mark.parametrize("bug", ["NotScaled", "WritesIntoTheQuery"])
def test_no_bug_is_named_that_fails_what_the_oracle_passes(bug: str) -> None:
    kills = recorded().mutants[bug].kills
    assert any(identity.startswith("oracle.") for identity in kills)
    assert bug not in names(result([identity for identity in kills if not identity.startswith("oracle.")]))


def test_nothing_is_named_of_a_crowd() -> None:
    near = [(mutant, 0.9) for mutant in mutants()]
    assert worth_it(near[:3], 0.8)
    assert not worth_it(near[:4], 0.8)
    assert not worth_it(near[:4], 0.95)  # those just below are near as well


def test_modules_without_a_known_bug_are_given_no_hint() -> None:
    without = [found for known, found in measured.corpus().values() if not known]
    assert len(without) >= 10
    assert [found.subject for found in without if hints(found)] == []


def test_hints_are_better_than_chance_and_the_page_has_the_tables() -> None:
    page = (ROOT / "docs" / "diagnosis.md").read_text()
    assert measured.tables() in page
    (row,) = [row for row in measured.table_of_kinds() if row.startswith("| 80% ")]
    hits, of = map(int, row.split("|")[4].partition(",")[0].split(" of "))
    assert of >= 5
    assert hits / of > float(row.split("|")[5].strip(" %")) / 100 + 0.3


def test_a_bug_that_is_met_with_two_constants_is_named_once() -> None:
    both = ANSWER | {"matches": [["SoftCapLeftIn", 50.0], ["SoftCapLeftIn", -50.0], ["SoftCapLeftIn", 30.0]]}
    diagnosis = conclude(result(KILLS), both, complete=True)
    assert [cause.name for cause in diagnosis.causes] == ["SoftCapLeftIn"]
    assert "SoftCapLeftIn gives them with 50 or 30." in diagnosis.words


def test_a_bug_that_fails_none_of_what_fails_is_no_cause_where_outputs_are_right() -> None:
    answer = ANSWER | {"matches": [["CountsCalls", None]], "aspects": ["later"], "wrong": 40}
    kills = list(recorded().mutants["CountsCalls"].kills)
    assert conclude(result(kills), answer, complete=True).kind == "confirmed"
    other = conclude(result(["gradients.gradients_of_inputs"]), answer, complete=True)
    assert other.kind == "unknown"
    assert "Its output is right on all 40 cases" in other.words[0]


def test_where_it_drops_is_told_and_is_not_wrong() -> None:
    answer = ANSWER | {"wrong": 0, "aspects": [], "site": "the output instead of the weights"}
    diagnosis = conclude(result(["dropout.nothing"]), answer, complete=True)
    assert "In training it drops the output instead of the weights, which is right as well." in diagnosis.words
