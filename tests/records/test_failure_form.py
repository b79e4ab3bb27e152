"""The form of a failure, which a baseline keeps: the same for every seed, and another one where another bug is."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mhsa.bugs.diagnosis.client import DiagnosisClient
from mhsa.commands.cli import main
from mhsa.commands.subject_tables.write_baseline import write_baseline
from mhsa.oracle.bounded import Bounded
from mhsa.records.configuration import Configuration, read
from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.failures.expected_failures import compare_causes, judged
from mhsa.records.failures.failure_form import form_of
from mhsa.records.options import Options
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.child import Child
from mhsa.run.runner import Event
from mhsa.subject import check
from mhsa.subject.guard import guard

ONE, TWO = "oracle.output_without_mask", "masks.masking_is_deleting"
DIFFERS = {"message": "output[0]=1, but must be 2", "what": "output", "where": [0], "observed": 1.0, "required": 2.0}
RAISES = {"message": "the call raised RuntimeError: 3 and 4", "what": "call", "raised": "RuntimeError in forward"}


def form(violate, *arguments: object) -> str:
    with pytest.raises(check.Violation) as caught:
        violate(*arguments)
    return form_of(str(caught.value), caught.value.facts)


def bounded(*numbers: float) -> Bounded:
    return Bounded(np.array(numbers), np.full(len(numbers), 1e-9))


@pytest.mark.parametrize(
    ("what", "observed", "required", "expected"),
    [
        ("output", [1.0, 2.0], [1.0, 3.0], "output differs"),
        ("output of head 2 alone", [1.0, 7.0], [1.0, 3.0], "output differs"),
        ("gradient of query.weight", [1.0], [2.0], "gradient differs"),
        ("gradient of value at masked keys", [1.0], [2.0], "gradient differs"),
        ("weights of masked keys", [1.0], [2.0], "weight differs"),
        ("key after the call", [1.0], [2.0], "argument differs"),
        ("out.weight after the call", [1.0], [2.0], "parameter differs"),
        ("output", [np.nan], [2.0], "output differs"),  # an overflow is NaN with one seed, a wrong number with another
        ("output", [-np.inf, 2.0], [1.0, 2.0], "output differs"),
        ("output", [1.0, 2.0], [1.0], "output has another shape"),
    ],
)
def test_the_form_of_a_comparison_has_no_numbers(what: str, observed: list, required: list, expected: str) -> None:
    assert form(check.within, what, np.array(observed), bounded(*required)) == expected


def test_the_form_of_an_exception_is_its_type_and_the_function_of_the_subject(tmp_path: Path) -> None:
    import torch

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, torch.zeros(2, 7))  # raised inside of torch

    def after_an_edit_elsewhere(n: int):
        namespace: dict = {}
        code = compile("\n" * n + "def forward(x):\n    return json.loads(x)\n", str(tmp_path / "model.py"), "exec")
        exec(code, namespace | {"json": json}, namespace)
        namespace["forward"].__globals__["json"] = json
        return namespace["forward"]

    assert form(guard, "the call", lambda: forward(torch.zeros(3, 4))) == "raises RuntimeError in forward"
    forms = {
        form(guard, "the call", lambda n=n, text=text: after_an_edit_elsewhere(n)(text)) for n, text in ((0, "{"), (9, "[1,"))
    }
    assert forms == {"raises JSONDecodeError in forward"}


@pytest.mark.parametrize(
    "reason",
    [
        "the process was killed by SIGSEGV in a call (in forward, /a/model.py, line 3)",
        "the process ended with exit code 3 in a call",
        "the worker process died in a call",
    ],
)
def test_however_a_process_ends_the_form_is_one(reason: str) -> None:
    assert form_of(reason, None) == "ends the process"


@pytest.mark.parametrize(
    ("expected", "facts", "outcome"),
    [
        ([Expected(ONE, "why", form="output differs")], DIFFERS, "expected-failure"),
        ([Expected(ONE, "why", form="output differs")], RAISES, "fail"),
        ([Expected("oracle.*", "why", form="output differs"), Expected(ONE, form=f"raises {RAISES['raised']}")], RAISES,
         "expected-failure"),
        ([Expected(ONE, "why")], RAISES, "expected-failure"),  # written by hand: any failure
        ([Expected(TWO, "why", form="output differs")], RAISES, "fail"),
    ],
)  # fmt: skip
def test_a_failure_of_another_form_is_not_expected(expected: list[Expected], facts: dict, outcome: str) -> None:
    found = PropertyResult(ONE, "fail", reason=facts["message"], counterexample=facts)
    assert judged(Request("mine", "m:A", expected=tuple(expected)), found).outcome == outcome


def test_that_another_failure_took_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = dict(DIFFERS)

    def run(child: Child) -> Iterator[None]:
        child.add(1, PropertyResult(ONE, "fail", reason=facts["message"], counterexample=dict(facts)))
        child.add(1, PropertyResult(TWO, "pass", cases=50))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "400")  # nothing is folded
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("")
    assert main(["verify", "m.py", "--no-diagnosis", "--write-baseline"]) == 1
    (entry,) = read(tmp_path / "pyproject.toml").requests[0].expected
    assert (entry.id, entry.form, entry.cause) == (ONE, "output differs", "")
    capsys.readouterr()

    assert main(["verify", "--no-diagnosis"]) == 0
    assert "holds: 1 property on 50 cases; 1 fails as expected, " in capsys.readouterr().out

    facts |= RAISES
    assert main(["verify", "--no-diagnosis"]) == 1
    said = capsys.readouterr().out
    assert (
        "another failure took the place of the expected one: expected is 'output differs', found 'raises RuntimeError" in said
    )

    assert main(["verify", "--no-diagnosis", "--write-baseline"]) == 1  # accepted: the entry is about this one now
    (entry,) = read(tmp_path / "pyproject.toml").requests[0].expected
    assert (entry.form, entry.reason) == (
        "raises RuntimeError in forward",
        "failed when mhsa was adopted: the call raised RuntimeError: 3 and 4",
    )
    assert main(["verify", "--no-diagnosis"]) == 0


def diagnosis(*names: str, cases: int = 45) -> Diagnosis:
    causes = tuple(Cause(name, "", "", "", "") for name in names)
    return Diagnosis("confirmed" if names else "unknown", causes, (), cases, cases)


CAUSED = Request(
    "mine", "m:A", expected=(Expected(ONE, "why", form="output differs", cause="NotScaled or BaseTwo"), Expected(TWO))
)


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (diagnosis("NotScaled"), ""),
        (diagnosis("BaseTwo", "SoftmaxTwice"), ""),
        (diagnosis("SoftmaxTwice"), "SoftmaxTwice"),
        (diagnosis(), "no known bug"),
        (diagnosis(cases=0), ""),  # the comparison could not be made
        (None, ""),  # --no-diagnosis
    ],
)
def test_another_cause_than_the_recorded_one_is_a_violation(now: Diagnosis | None, changed: str) -> None:
    found = [PropertyResult(i, "expected-failure", reason="why; 1 not 2", counterexample=DIFFERS) for i in (ONE, TWO)]
    result = SubjectResult("m:A", label="mine", properties=found)
    left = compare_causes([CAUSED], [result], {} if now is None else {"mine": now})
    assert [p.outcome for p in result.properties] == ["fail" if changed else "expected-failure", "expected-failure"]
    assert bool(left) == bool(changed), "a diagnosis is shown of what fails"
    if changed:
        assert (
            f"its cause was NotScaled or BaseTwo, and is {changed} now; output[0]=1, but must be 2"
            in result.properties[0].reason
        )


def test_the_cause_is_written_where_the_known_bug_fails_the_property(tmp_path: Path) -> None:
    found = [
        PropertyResult(i, "fail", reason=DIFFERS["message"], counterexample=DIFFERS)
        for i in (ONE, "shape_mismatch.mask_of_another_width")
    ]
    result = SubjectResult("m.py", properties=found)
    path = tmp_path / "pyproject.toml"
    write_baseline(Configuration(path), [Request("m.py", "m.py")], [result], {"m.py": diagnosis("NotScaled")})
    written = path.read_text()
    assert 'form = "output differs", cause = "NotScaled"}' in written
    assert written.count("cause = ") == 1


def test_the_comparison_is_asked_for_where_a_cause_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def popen(*_: object, **__: object) -> SimpleNamespace:
        started.append(True)
        return SimpleNamespace(stdin=SimpleNamespace(write=len, flush=bool), poll=lambda: 0, wait=bool, pid=0)

    monkeypatch.setattr("mhsa.bugs.diagnosis.client.Process", popen)
    monkeypatch.setattr("mhsa.bugs.diagnosis.client.end_group", lambda *_: None)
    with DiagnosisClient(Options(requests=(CAUSED,))) as client:
        client.hear(Event("done", 1, TWO, PropertyResult(TWO, "expected-failure")))
        assert not started
        client.hear(Event("done", 1, ONE, PropertyResult(ONE, "expected-failure")))
        assert started


def test_in_the_users_pytest_another_failure_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mhsa.judge.inline import judge_inline

    path = tmp_path / "uniform.py"
    path.write_text("def attention(q, k, v, mask=None):\n    return v.mean(dim=-2, keepdim=True).expand(*q.shape)\n")
    request = Request("uniform", str(path))
    expected = Request("uniform", str(path), expected=(Expected(ONE, "why", form="output differs"),))
    another = Request("uniform", str(path), expected=(Expected(ONE, "why", form="raises RuntimeError in forward"),))
    with pytest.raises(pytest.fail.Exception):
        judge_inline(request, ONE, strict=False)
    with pytest.raises(pytest.xfail.Exception, match="why; output"):
        judge_inline(expected, ONE, strict=False)
    with pytest.raises(pytest.fail.Exception, match="another failure took the place of the expected one"):
        judge_inline(another, ONE, strict=False)
