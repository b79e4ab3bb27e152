"""Failures that are declared: what they make of a verdict, what is odd about them, and how today's are written down."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.records.configuration import read
from mhsa.records.options import Options
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.child import Child
from tests.helpers.declared_subject import DECLARED, KEPT, ONE, TWO, configure

WRONG = "def attention(q, k, v, mask=None):\n    return v.mean(dim=-2, keepdim=True).expand(*q.shape)\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    return tmp_path


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What comes of each property of every subject, in place of a process that judges."""
    found: dict[str, str] = {}

    def run(child: Child) -> Iterator[None]:
        for n in range(1, len(child.requests) + 1):
            for identity, outcome in found.items():
                child.add(
                    n, PropertyResult(identity, outcome, cases=5, reason="1, but must be 2; 1 of 1" * (outcome != "pass"))
                )
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return found


def expecting(*entries: str) -> str:
    return f"{DECLARED}expected_failures = [{', '.join(f'{{ {e} }}' for e in entries)}]\n"


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["verify", "--no-diagnosis", "--json", "o.json", *arguments])
    assert json.loads(Path("o.json").read_text())["exit_code"] == code
    return code, capsys.readouterr().out


def subject() -> dict:
    return json.loads(Path("o.json").read_text())["subjects"][0]


def test_a_declared_failure_leaves_the_subject_holding(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes |= {ONE: "pass", TWO: "fail"}
    configure(expecting(f'property = "{TWO}", reason = "padding is ignored", link = "https://example.org/12"'))
    code, out = verified(capsys, "--strict")
    assert code == 0
    assert "FAILED" not in out
    assert "warning" not in out
    assert "holds: 1 property on 5 cases; 1 fails as expected, 0.0 s" in out
    assert subject()["verdict"] == "holds"
    assert [p["outcome"] for p in subject()["properties"]] == ["pass", "expected-failure"]
    assert subject()["properties"][1]["reason"] == "padding is ignored https://example.org/12; 1, but must be 2; 1 of 1"


def test_what_is_not_declared_still_fails(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes |= {ONE: "fail", TWO: "fail"}
    configure(expecting(f'property = "{TWO}", reason = "why"'))
    code, out = verified(capsys)
    assert code == 1
    assert "FAILED oracle.output_without_mask" in out
    assert "violated: 1 of 2 properties fail; 1 more fails as expected, 0.0 s" in out


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("masks.*", 0), ("*", 0), ("masks.masking_*", 0), ("m?sks.*", 0), ("[lm]asks.*", 0),
        ("masks.masked_*", 1), ("mask_forms.*", 1), ("oracle.*", 1),
    ],
)  # fmt: skip
def test_patterns(here: Path, outcomes, capsys: pytest.CaptureFixture[str], pattern: str, code: int) -> None:
    outcomes |= {TWO: "fail"}
    configure(expecting(f'property = "{pattern}", reason = "why"'))
    assert verified(capsys)[0] == code


def test_a_declaration_is_for_one_subject(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes |= {ONE: "fail"}
    configure(expecting('property = "*", reason = "why"') + '[tool.mhsa.subjects.other]\nsubject = "m:B"\n')
    code, _ = verified(capsys)
    assert code == 1
    verdicts = [s["verdict"] for s in json.loads(Path("o.json").read_text())["subjects"]]
    assert verdicts == ["holds", "violated"]


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        (f'property = "{ONE}", reason = "why"', f"{ONE} passes, but was expected to fail: remove it from expected_failures"),
        (f'property = "{TWO}"', f"the expected failure of {TWO} has no reason"),
        (f'property = "{TWO}", reason = "  "', f"the expected failure of {TWO} has no reason"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict", ["", "--strict", "strict = true"])
def test_what_is_odd_is_a_warning_and_under_strict_a_violation(
    here: Path, outcomes, capsys: pytest.CaptureFixture[str], entry: str, warning: str, strict: str
) -> None:
    outcomes |= {ONE: "pass", TWO: "fail"}
    entries = [entry] if TWO in entry else [entry, f'property = "{TWO}", reason = "why"']
    configure(f"[tool.mhsa]\n{strict if '=' in strict else ''}\n{expecting(*entries)}")
    code, out = verified(capsys, *([strict] if strict.startswith("--") else []))
    assert code == int(bool(strict))
    assert f"  warning: {warning}\n" in out
    assert subject()["warnings"] == [warning]
    assert subject()["verdict"] == "holds"


def test_a_declaration_that_fits_nothing_ends_the_run_before_anything_runs(
    here: Path, outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(expecting('property = "masks.masking_is_deletng", reason = "why"'))
    with pytest.raises(SystemExit) as left:
        main(["verify", "--no-diagnosis"])
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "pyproject.toml:3: [tool.mhsa.subjects.mine.expected_failures] property = 'masks.masking_is_deletng'" in said.err
    assert said.err.endswith("; no property has that id; did you mean masks.masking_is_deleting?\n")


def test_a_pattern_may_cover_what_passes_and_is_told_for_each(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes |= {ONE: "pass", TWO: "fail", "masks.every_head_is_masked": "pass"}
    configure(expecting('property = "masks.*", reason = "why"'))
    code, out = verified(capsys)
    assert code == 0
    assert out.count("warning: ") == 1
    assert "warning: masks.every_head_is_masked passes, but was expected to fail" in out


def test_what_could_not_be_judged_or_asked_is_not_expected(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    configure(expecting('property = "*", reason = "why"'))
    outcomes |= {ONE: "fail", TWO: "error"}
    assert verified(capsys, "--strict")[0] == 2
    outcomes |= {ONE: "fail", TWO: "not-applicable"}
    assert verified(capsys, "--strict")[0] == 0
    assert [p["outcome"] for p in subject()["properties"]] == ["expected-failure", "not-applicable"]


@pytest.mark.parametrize(("given", "code"), [("pass", 0), ("fail", 0), ("error", 2), ("not-applicable", 2)])
def test_exit_zero_hides_what_is_wrong_and_never_what_was_not_judged(
    here: Path, outcomes, capsys: pytest.CaptureFixture[str], given: str, code: int
) -> None:
    outcomes |= {ONE: given}
    assert verified(capsys, "m.py", "--exit-zero")[0] == code
    configure(expecting(f'property = "{ONE}"'))
    assert verified(capsys, "--exit-zero", "--strict")[0] == code


def child(expected: tuple[Expected, ...]) -> tuple[Child, SubjectResult]:
    request = Request("mine", "m:A", expected=expected)
    result = SubjectResult("m:A", label="mine")
    return Child(Options(requests=(request,)), (request,), Path(), [result], lambda event: None), result


@pytest.mark.parametrize(
    ("given", "expected", "outcome", "reason"),
    [
        ("fail", Expected(ONE, "why", "link"), "expected-failure", "why link; the process was killed by SIGSEGV in a call"),
        ("fail", Expected(ONE), "expected-failure", "no reason given; the process was killed by SIGSEGV in a call"),
        ("fail", Expected(TWO, "why"), "fail", "the process was killed by SIGSEGV in a call"),
        ("pass", Expected("oracle.*", "why"), "unexpected-pass", "expected to fail: why"),
        ("error", Expected(ONE, "why"), "error", "the process was killed by SIGSEGV in a call"),
        ("expected-failure", Expected(ONE, "why"), "expected-failure", "the process was killed by SIGSEGV in a call"),
    ],
)
def test_a_result_is_taken_down_in_the_light_of_what_was_expected(
    given: str, expected: Expected, outcome: str, reason: str
) -> None:
    judging, result = child((expected,))
    judging.add(1, PropertyResult(ONE, given, reason="the process was killed by SIGSEGV in a call"))
    assert [(p.id, p.outcome, p.reason) for p in result.properties] == [(ONE, outcome, reason)]


def test_a_process_that_dies_in_a_declared_property_is_expected(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dying(child: Child) -> Iterator[None]:
        child.planned = {1: [ONE, TWO]}
        if child.results[0].properties:
            child.add(1, PropertyResult(TWO, "pass"))
            child.finished = True
        else:
            child.running = {(1, ONE): 0.0}
            child.returncode = -11
        yield

    monkeypatch.setattr(Child, "run", dying)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    configure(expecting(f'property = "{ONE}", reason = "it dies"'))
    code, _ = verified(capsys)
    assert code == 0
    assert [p["outcome"] for p in subject()["properties"]] == ["expected-failure", "pass"]
    assert subject()["properties"][0]["reason"] == "it dies; the process was killed by SIGSEGV in a call"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broken\n", "pyproject.toml: "),
        (
            "[tool]\nmhsa.seed = 1\n",
            "has a form that cannot be continued; add this by hand:\n\n[tool.mhsa.subjects.A]\nsubject = ",
        ),
    ],
)
def test_a_file_that_cannot_be_continued_is_left_alone(
    here: Path, outcomes, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    outcomes |= {ONE: "fail"}
    configure(text)
    with pytest.raises(SystemExit) as left:
        main(["verify", "m:A", "--no-diagnosis", "--write-baseline", "--json", "o.json"])
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.err.startswith("mhsa: --write-baseline: ")
    assert words in said.err
    assert "violated: 1 of 1" in said.out, "what was found is printed all the same"
    assert subject()["verdict"] == "violated"
    assert Path("pyproject.toml").read_text() == text


def test_nothing_is_written_where_nothing_fails(here: Path, outcomes, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes |= {ONE: "pass", TWO: "error"}
    code, out = verified(capsys, "m:A", "--write-baseline")
    assert code == 2
    assert "baseline    nothing fails, so nothing was written\n" in out
    assert not Path("pyproject.toml").exists()


def test_after_a_baseline_the_same_failures_are_expected_and_new_ones_are_not(
    here: Path, outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes |= {ONE: "fail", TWO: "pass"}
    configure(KEPT)
    assert verified(capsys, "--write-baseline")[0] == 1
    assert verified(capsys, "--strict")[0] == 0
    outcomes[TWO] = "fail"
    assert verified(capsys)[0] == 1
    assert verified(capsys, "--write-baseline")[0] == 1
    assert verified(capsys, "--strict")[0] == 0
    for request in read(here / "pyproject.toml").requests:
        assert [e.id for e in request.expected] == [ONE, TWO]


def test_from_a_wrong_module_to_a_first_adoption(mhsa: Callable, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    chosen = ("-k", "oracle.output_without_mask or equal_values", "--no-diagnosis")
    first = mhsa("verify", "wrong.py", *chosen, "--write-baseline", cwd=tmp_path)
    assert first.returncode == 1, first.stdout
    assert first.stdout.endswith(
        f"baseline    1 failures of wrong are expected from now on: {tmp_path}/pyproject.toml; run mhsa verify wrong\n"
    )
    second = mhsa("verify", *chosen, "--strict", "-v", cwd=tmp_path)
    assert second.returncode == 0, second.stdout
    assert "holds: 1 property" in second.stdout
    assert "; 1 fails as expected" in second.stdout
    assert 'form = "output differs"' in (tmp_path / "pyproject.toml").read_text()
    assert "failed when mhsa was adopted: output[0, 0, " in second.stdout
