"""The document of a run is read back as it was written, and what is missing in it or of another kind is empty."""

import json
import math
from typing import Any

import pytest

from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.document.counterexample import Counterexample, Part
from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import Coverage
from mhsa.records.results import PropertyResult, SubjectResult, as_data, as_json

FACTS = {
    "message": "1, but must be 2", "what": "output", "where": [0, 1], "observed": 1.0, "observed_all": [[1.0]],
    "required_all": [[2.0]], "case": {"batch": 1, "words": "B=1"}, "file": ".mhsa/cases/a.json", "mask": [[1.0]], "value": None,
    "query.weight": [[1.0]], "answer": {"output": {"observed": [[1.0]], "required": [[2.0]], "bound": None}, "weights": None},
}  # fmt: skip
PICTURE = {"what": "w", "sample": 0, "head": 1, "case": "B=1", "allowed": None, "expected": [[1.0]], "observed": [[None]]}
DIAGNOSIS = Diagnosis("similar", (Cause("A", "a", "b", "c", "d", 0.5),), ("words",), 5, 4, PICTURE)


def judged(**more: Any) -> SubjectResult:
    failing = PropertyResult("masks.x", "fail", 3, math.inf, 0.5, "1, but must be 2", FACTS, {"float32": math.inf})
    return SubjectResult("m.py:A", properties=[failing, PropertyResult("oracle.y", "pass", 7)], label="mine", **more)


def read(result: SubjectResult, *, through_a_file: bool = False) -> RunRecord:
    data = as_data([result], {"torch": "2"}, {"mine": DIAGNOSIS}, strict=True)
    return RunRecord.of(json.loads(as_json(data)) if through_a_file else data)


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_document_is_read_back_as_it_was_written(through_a_file: bool) -> None:
    coverage = {"file": "m.py", "statements": 3, "executed": 2, "missing": [7], "lines": {"7": "raise"}}
    result = judged(
        notes=[("mask", "True may attend")], place=("m.py", 7), warnings=["odd"], coverage=coverage,
        not_judged=["argument x", "argument y"], accepted=["argument x"],
    )  # fmt: skip
    run = read(result, through_a_file=through_a_file)
    (subject,) = run.subjects
    assert (run.environment, run.interrupted, run.strict, run.exit_code) == ({"torch": "2"}, False, True, 2)
    assert (subject.subject, subject.label, subject.verdict) == ("m.py:A", "mine", "violated")
    assert (subject.notes, subject.place) == ((("mask", "True may attend"),), ("m.py", 7))
    assert (subject.warnings, subject.open) == (("odd",), result.open)
    assert subject.coverage == Coverage("m.py", 3, 2, (7,), {7: "raise"})
    assert subject.diagnosis == DIAGNOSIS
    for written, as_read in zip(result.properties, subject.properties, strict=True):
        assert {name: getattr(as_read, name) for name in vars(written)} == vars(written)
    assert [p.id for p in subject.of_outcome("fail")] == ["masks.x"]


def test_a_question_is_read_back_with_what_then_holds() -> None:
    result = judged(question=True, reason="is this meant", declaration={"mask": "blocked"}, declare={"option": "--contract x"})
    (subject,) = read(result).subjects
    assert (subject.verdict, subject.why, subject.then) == ("question", "is this meant", result.then)
    assert subject.declare == {"option": "--contract x"}


def test_a_counterexample_is_read_by_its_parts() -> None:
    facts = Counterexample.of(FACTS)
    assert (facts.message, facts.what, facts.where, facts.observed) == ("1, but must be 2", "output", (0, 1), 1.0)
    assert (facts.words, facts.file, facts.case["batch"]) == ("B=1", ".mhsa/cases/a.json", 1)
    assert (facts.inputs, facts.parameters) == ({"mask": [[1.0]]}, {"query.weight": [[1.0]]})
    assert (facts.output, facts.weights) == (Part([[2.0]], [[1.0]]), None)
    assert Counterexample.of(None) == Counterexample()


@pytest.mark.parametrize("value", [None, 7, "text", [], [7], {}, {"file": None}, {"kind": 7, "causes": [None]}, [{}], math.nan])
def test_what_is_missing_or_of_another_kind_is_empty(value: Any) -> None:
    names = (
        "verdict",
        "place",
        "warnings",
        "coverage",
        "declare",
        "under",
        "understood",
        "not_judged",
        "diagnosis",
        "properties",
    )
    subject = RunRecord.of({"subjects": [dict.fromkeys(names, value) | {"subject": "a.py"}], "environment": value}).subjects[0]
    assert (subject.label, subject.verdict, subject.place, subject.coverage) == ("a.py", "unjudged", None, None)
    assert subject.then == ""
    assert subject.why == "no reason was given"
    facts = Counterexample.of(dict.fromkeys(FACTS, value) | {"where": None})
    assert facts.output is None
    assert RunRecord.of({"subjects": value}).environment == {}


def test_a_verdict_is_that_of_the_document_and_not_decided_again() -> None:
    data = {"subject": "a.py", "verdict": "violated", "properties": [{"id": "x.y", "outcome": "pass"}]}
    assert RunRecord.of({"subjects": [data]}).subjects[0].verdict == "violated"
