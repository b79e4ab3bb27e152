"""The rules by which outcomes become a verdict, verdicts an exit code, and both a document."""

import itertools
import json
from pathlib import Path

import pytest

from mhsa.records.diagnosis import Diagnosis
from mhsa.records.request import Request
from mhsa.records.results import EXIT_CODES, PropertyResult, SubjectResult, as_data, as_json, exit_code, write_json
from mhsa.records.understood import Understood

OUTCOMES = ("pass", "fail", "not-applicable", "expected-failure", "unexpected-pass", "error")


def result(*outcomes: str, **more) -> SubjectResult:
    return SubjectResult("m.py:A", properties=[PropertyResult(f"p.{n}", o) for n, o in enumerate(outcomes)], **more)


@pytest.mark.parametrize("outcomes", [c for n in range(4) for c in itertools.combinations(OUTCOMES, n)], ids="+".join)
def test_a_verdict_follows_from_the_outcomes(outcomes: tuple[str, ...]) -> None:
    if "fail" in outcomes:
        verdict = "violated"
    elif "error" in outcomes or not {"pass", "expected-failure", "unexpected-pass"} & set(outcomes):
        verdict = "unjudged"
    else:
        verdict = "holds"
    assert result(*outcomes).verdict == verdict
    assert result(*reversed(outcomes)).verdict == verdict
    in_the_way = "violated" if "fail" in outcomes else "unjudged"
    assert result(*outcomes, reason="the process ended").verdict == in_the_way
    assert result(*outcomes, interrupted=True).verdict == in_the_way
    assert result(*outcomes, question=True, reason="which is the mask?").verdict == "question"


def test_each_verdict_has_its_exit_code() -> None:
    assert EXIT_CODES == {"holds": 0, "violated": 1, "question": 2, "unjudged": 2}


HOLDS, VIOLATED, UNJUDGED = result("pass"), result("pass", "fail"), result("error")
WARNS, ACCEPTS = result("pass", warnings=["odd"]), result("pass", not_judged=["argument x"], accepted=["argument x"])
OPEN, BOTH = result("pass", not_judged=["argument x"]), result("pass", not_judged=["argument x"], warnings=["odd"])


@pytest.mark.parametrize(
    ("results", "code", "strict"),
    [
        ([], 2, 2),
        ([HOLDS], 0, 0),
        ([VIOLATED], 1, 1),
        ([UNJUDGED], 2, 2),
        ([result("pass", question=True)], 2, 2),
        ([HOLDS, HOLDS], 0, 0),
        ([HOLDS, VIOLATED, HOLDS], 1, 1),
        ([UNJUDGED, VIOLATED, HOLDS], 2, 2),
        ([WARNS], 0, 1),
        ([ACCEPTS], 0, 0),
        ([OPEN], 0, 2),
        ([BOTH, HOLDS], 0, 2),
        ([WARNS, UNJUDGED], 2, 2),
        ([result("fail", interrupted=True), HOLDS], 2, 2),
        ([HOLDS, result("pass", interrupted=True)], 2, 2),
    ],
)
def test_an_exit_code_follows_from_the_verdicts(results: list[SubjectResult], code: int, strict: int) -> None:
    assert exit_code(results) == code
    assert exit_code(results, strict=True) == strict
    data = as_data(results, {}), as_data(results, {}, strict=True)
    assert [d["exit_code"] for d in data] == [code, strict]
    assert [d["strict"] for d in data] == [False, True]


def test_a_code_that_was_decided_elsewhere_is_kept() -> None:
    assert as_data([HOLDS], {}, code=1)["exit_code"] == 1
    assert as_data([VIOLATED], {}, code=0)["exit_code"] == 0


def test_why_a_subject_is_unjudged() -> None:
    assert result().why == result("not-applicable").why == "no property was applicable, so nothing was judged"
    assert result("pass", "error", interrupted=True, reason="r").why == "interrupted after 2 properties"
    assert result("error", reason="the process ended").why == "the process ended"

    def errors(number: int) -> str:
        properties = [PropertyResult(f"p.{n}", "error", reason=f"because {n}") for n in range(number)]
        return SubjectResult("x", properties=[PropertyResult("q", "pass", reason="none"), *properties]).why

    assert errors(1) == "p.0: because 0"
    assert errors(3) == "p.0: because 0; p.1: because 1; p.2: because 2"
    assert errors(4) == "p.0: because 0; p.1: because 1; p.2: because 2; and 1 more"
    assert errors(6).endswith("; p.2: because 2; and 3 more")


def test_outcomes_are_counted() -> None:
    of = result("pass", "fail", "pass", "error")
    assert (of.count("pass"), of.count("fail", "error"), of.count("unexpected-pass"), of.count()) == (2, 2, 0, 0)


def test_a_subject_is_called_by_its_label_or_else_by_what_was_typed() -> None:
    assert SubjectResult("m.py:A").label == "m.py:A"
    assert SubjectResult("m.py:A", label="mine").label == "mine"


def test_a_property_in_one_line() -> None:
    assert repr(PropertyResult("a.b", "pass")) == "<a.b pass>"
    assert repr(PropertyResult("a.b", "fail", reason="x\n  y")) == "<a.b fail: x y>"
    assert repr(PropertyResult("a.b", "fail", reason="x" * 80)) == f"<a.b fail: {'x' * 80}>"
    assert repr(PropertyResult("a.b", "fail", reason="x" * 81)) == f"<a.b fail: {'x' * 80}...>"


DIAGNOSIS = Diagnosis("unknown")


def test_the_document_says_everything(tmp_path: Path) -> None:
    whole = SubjectResult(
        "m.py:A",
        notes=[("mask", "True may attend")],
        properties=[PropertyResult("masks.x", "fail", 3, 2.5, 0.5, "1, but must be 2", {"a": 1}, {"float32": 2.5})],
        label="mine",
        place=("m.py", 7),
        warnings=["odd"],
        coverage={"lines": 3},
        reading=[Understood("mask", "True may attend", "default", {"mask": "allowed"})],
        not_judged=["argument x"],
        accepted=["argument x"],
        seconds=0.25,
    )
    other = SubjectResult("m.py:B", reason="it ended")
    asks = SubjectResult("m.py:C", reason="which?", question=True)
    data = as_data([whole, other, asks], {"torch": "2"}, {"mine": DIAGNOSIS})
    first, second, third = data.pop("subjects")
    assert data == {"schema": 1, "environment": {"torch": "2"}, "interrupted": False, "exit_code": 2, "strict": False}
    assert as_data([result("pass", interrupted=True)], {})["interrupted"] is True
    diagnosis = first.pop("diagnosis")
    assert diagnosis["kind"] == "unknown"
    assert first == {
        "subject": "m.py:A",
        "label": "mine",
        "verdict": "violated",
        "seconds": 0.25,
        "reason": "",
        "declaration": {},
        "declare": {},
        "under": None,
        "understood": {"mask": "True may attend"},
        "reading": [{"part": "mask", "text": "True may attend", "known": "default", "declaration": {"mask": "allowed"}}],
        "not_judged": ["argument x"],
        "accepted": ["argument x"],
        "place": {"file": "m.py", "line": 7},
        "warnings": ["odd"],
        "coverage": {"lines": 3},
        "properties": [
            {
                "id": "masks.x",
                "family": "masks",
                "outcome": "fail",
                "cases": 3,
                "worst_error_over_bound": 2.5,
                "seconds": 0.5,
                "reason": "1, but must be 2",
                "counterexample": {"a": 1},
                "worst_by_dtype": {"float32": 2.5},
            }
        ],
    }
    assert (second["verdict"], second["reason"], second["place"], second["diagnosis"]) == ("unjudged", "it ended", None, None)
    assert (third["verdict"], third["reason"]) == ("question", "which?")
    assert as_data([whole], {})["subjects"][0]["diagnosis"] is None
    write_json(tmp_path / "o.json", [whole], {"é": "ü"}, {"mine": DIAGNOSIS})
    text = (tmp_path / "o.json").read_bytes().decode("utf-8")
    assert text == as_json(as_data([whole], {"é": "ü"}, {"mine": DIAGNOSIS}))
    assert json.loads(text)["subjects"][0]["diagnosis"]["kind"] == "unknown"


def test_it_is_json_as_strict_readers_want_it() -> None:
    assert as_json({"a": float("nan"), "b": [1]}) == '{\n  "a": "nan",\n  "b": [\n    1\n  ]\n}\n'


DECLARED = {"mask": "blocked", "layout": "TBD", "reason": "https://example.org/1"}


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (("pass", "pass", "not-applicable"), "2 of 2 properties hold"),
        (("pass", "expected-failure", "unexpected-pass"), "3 of 3 properties hold"),
        (("pass", "fail", "fail"), "2 of 3 properties fail"),
        (("pass", "pass", "error"), "2 of 3 properties hold, 1 could not be judged"),
        (("pass", "fail", "error", "error"), "1 of 4 properties fail, 2 could not be judged"),
    ],
    ids=str,
)
def test_what_then_holds_under_the_declaration_of_a_question(outcomes: tuple[str, ...], words: str) -> None:
    asked = result(*outcomes, question=True, declaration=DECLARED)
    assert asked.then == f'under mask = "blocked", layout = "TBD": {words}'
    assert result(*outcomes, question=True).then == ""
    assert result(*outcomes, declaration=DECLARED).then == ""
    assert result("not-applicable", question=True, declaration=DECLARED).then == ""


def test_a_request_is_repeated_as_it_was_judged() -> None:
    request = Request.of("m.py:A")
    asked = result("pass", question=True, declaration=DECLARED)
    assert dict(asked.as_judged(request).contract) == DECLARED
    assert result("not-applicable", question=True, declaration=DECLARED).as_judged(request) == request
    assert result("pass", declaration=DECLARED).as_judged(request) == request
