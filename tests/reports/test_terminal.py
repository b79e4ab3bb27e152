"""What a person reads: a red run on one screen, a green one in eight lines, and no word that is cut in two at 80 columns."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mhsa.commands.cli import main
from mhsa.records.catalogue import catalogue
from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.reports.diagnose_output import print_story
from mhsa.reports.line_folding import fold, hanging, short, wide_console
from mhsa.reports.progress import Progress
from mhsa.reports.tables import property_table, subject_table
from mhsa.reports.terminal import print_header, print_subject
from mhsa.run.child import Child, Event
from mhsa.subject.parameter_layout import AxisReading
from tests.helpers.places import ROOT

KNOWN = {p.id: p for p in catalogue()}
IDS = list(KNOWN)
NOTES = [
    ("call", "forward(query, key, value, attn_mask [B * head, Tq, Tk], average_attn_weights=False), batch_first"),
    ("parameters", "query from linear_query.weight; key from linear_key.weight; value from linear_value.weight; out from out"),
    ("sizes", "also drawn around 64, 128, which stand in the source"),
    ("mask", "[B, Tq, Tk], bool, True may attend"),
    ("empty rows", "a row with no allowed key has weights 1 / Tk"),
]
REASON = "output[0, 0, 0]=-2.53980159, but must be -2.51091984 +- 5.1e-14 (error/bound 5.69e+11); 2 of 2 elements are wrong"
NEEDS = "needs Contract(masked='never-read'): otherwise a masked NaN may reach the output"
ENVIRONMENT = {"mhsa": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6", "hypothesis": "6.170.15",
               "device": "cpu", "dtypes": "float64+float32", "profile": "quick", "seed": 0}  # fmt: skip
BUG = Cause("ScaledByModelWidth", "The scores are divided by the root of the model's width instead of the head's.",
            "softmax(Q K^T / sqrt(d_model))", "softmax(Q K^T / sqrt(d_k))", "lucidrains/vit-pytorch#65, P18")  # fmt: skip
DIAGNOSIS = Diagnosis("confirmed", (BUG,), ("It computes exactly what the reference does with this bug: on all 45 cases.",))
WIDTHS = pytest.mark.parametrize("width", [80, 100, 120])


def failed(identity: str) -> PropertyResult:
    words = "B=1 H=2 Tq=1 Tk=2 d_k=1 (d_model=2), float64, data integers, mask none, contiguous, no_grad, seed 0"
    case = {"dtype": "float64", "batch": 1, "head": 2, "query_length": 1, "key_length": 2, "d_k": 1, "mask": "none",
            "layout": "contiguous", "grad": False, "need_weights": True, "words": words}  # fmt: skip
    many = [[[1.25, -2.5] for _ in range(8)] for _ in range(4)]
    facts: dict[str, Any] = {"message": REASON, "case": case, "file": f".mhsa/cases/model.py--{identity}.json"}
    facts |= dict.fromkeys(("query", "key", "value", "observed_all", "required_all"), many)
    facts |= {name: [[1.0, -0.5], [2.0, 1.0]] for name in ("query.weight", "key.weight", "value.weight", "out.weight")}
    return PropertyResult(identity, "fail", 3, 5.1e12, 0.24, REASON, facts)


def passed(identity: str) -> PropertyResult:
    return PropertyResult(identity, "pass", 50, 0.016, 0.05)


def skipped(identity: str) -> PropertyResult:
    return PropertyResult(identity, "not-applicable", 0, None, 0.01, NEEDS)


def red(name: str = "tests/corpus/wrong/scale_d_model.py") -> SubjectResult:
    found = [failed(i) for i in IDS[:80]] + [passed(i) for i in IDS[80:100]] + [skipped(i) for i in IDS[100:]]
    return SubjectResult(name, NOTES, found)


def green(name: str = "tests/corpus/right/einsum_parameters.py", **more: Any) -> SubjectResult:
    return SubjectResult(name, NOTES, [passed(i) for i in IDS[:100]] + [skipped(i) for i in IDS[100:]], **more)


def screen(result: SubjectResult, width: int = 80, diagnosis: Diagnosis | None = None, **options: Any) -> list[str]:
    """All lines that a run of one subject prints."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_header(console, ENVIRONMENT, verbose=options.get("verbose", False))
    print_subject(console, result, Request(result.label, result.subject), KNOWN, diagnosis, **options)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def too_wide(lines: list[str], width: int) -> list[str]:
    """Lines that a terminal would wrap; commands are copied, so they are never folded."""
    return [line for line in lines if len(line) > width and not re.match(r" +(reproduce|replay) +mhsa ", line)]


@WIDTHS
def test_a_red_run_fits_on_a_screen_and_tells_the_first_failure_in_full(width: int) -> None:
    lines = screen(red(), width, DIAGNOSIS)
    assert sum(max(1, -(-len(line) // width)) for line in lines) <= 60, "as a terminal counts, which wraps commands"
    assert too_wide(lines, width) == []
    text = "\n".join(lines)
    assert text.count("FAILED oracle.output_without_mask") == 1
    assert text.count("  FAILED ") == 1
    assert re.search(
        r"\n    reproduce +mhsa verify tests/corpus/wrong/scale_d_model.py -k oracle.output_without_mask --seed 0\n", text
    )
    assert "CAUSE, confirmed: ScaledByModelWidth" in text
    assert "reported  lucidrains/vit-pytorch#65\n" in text
    assert "P18" not in text
    others = lines[next(n for n, line in enumerate(lines) if "ALSO FAILED" in line) + 1 :]
    named = [line for line in others if line.startswith("    ") and line.split()[0] in KNOWN]
    assert 5 <= len(named) <= 15
    assert f"    and {79 - len(named)} more: -v lists them" in lines
    assert all("output[" in line for line in named if len(line.split()[0]) < width // 2)
    assert lines[-1].startswith("  violated: 80 of 100 properties fail (")


def test_an_exception_elsewhere_is_one_line_with_what_it_says() -> None:
    said = "ValueError: this size is not supported (/elsewhere/model.py, line 31)"
    facts = {"what": "call", "observed": said, "message": f"the call raised {said}"}
    others = [PropertyResult(i, "fail", 3, reason=f"the call raised {said}", counterexample=facts) for i in IDS[1:30]]
    lines = screen(SubjectResult("model.py", NOTES, [failed(IDS[0]), *others]))
    (n,) = [n for n, line in enumerate(lines) if "29 properties raise ValueError at /elsewhere/model.py:31" in line]
    assert "raised ValueError: this size is not supported" in " ".join(" ".join(lines[n : n + 3]).split())
    assert len(lines) <= 60


def test_few_failures_are_all_named() -> None:
    result = SubjectResult("model.py", NOTES, [failed(i) for i in IDS[:16]])
    text = "\n".join(screen(result))
    assert all(identity in text for identity in IDS[:16])
    assert "more: -v" not in text


@WIDTHS
def test_a_green_run_has_eight_lines(width: int) -> None:
    result = green()
    result.seconds = 5.84  # less than its properties took: two processes judged
    lines = screen(result, width)
    assert len(lines) <= 8
    assert too_wide(lines, width) == []
    assert "mask        [B, Tq, Tk], bool, True may attend; " in "\n".join(lines)
    assert lines[-1] == f"  holds: 100 properties on 5000 cases ({len(IDS) - 100} not-applicable), 5.8 s"


def test_parts_that_are_not_about_the_mask_stand_in_a_row_of_their_own() -> None:
    layout, made = ("layout", "takes time first, [T, B, d_model]"), ("constructor", "given what means nothing")
    shown = [line.split(maxsplit=1) for line in screen(SubjectResult("model.py", [*NOTES, layout, made], []), 200)]
    rows = {words[0]: words[1] for words in shown if len(words) == 2}
    assert rows["mask"] == "[B, Tq, Tk], bool, True may attend; a row with no allowed key has weights 1 / Tk"
    assert rows["also"].endswith(
        "in the source; layout takes time first, [T, B, d_model]; constructor given what means nothing"
    )
    alone = screen(SubjectResult("model.py", [*NOTES[:2], layout], []), 80)
    assert "  layout      takes time first, [T, B, d_model]" in alone


@WIDTHS
def test_verbose_names_every_failure_every_property_and_every_reason_once(width: int) -> None:
    lines = screen(red(), width, DIAGNOSIS, verbose=True)
    assert too_wide(lines, width) == []
    text = "\n".join(lines)
    for identity in IDS[:80]:
        assert f"FAILED {identity}\n" in text
    assert text.count("needs Contract(masked='never-read')") == 1
    assert all(identity in text for identity in IDS[100:])
    for name, words in NOTES:
        assert name in text
        assert words in " ".join(text.split())
    for word in ENVIRONMENT:
        assert word in "\n".join(lines[:2])


@WIDTHS
def test_the_table_has_every_id_in_one_line_where_there_is_room_and_by_family_elsewhere(width: int) -> None:
    lines = [line.plain for line in property_table([passed(i) for i in IDS] + [failed(IDS[0])], width)]
    assert max(map(len, lines)) <= width
    wide = [line.plain for line in property_table([passed(i) for i in IDS], 120)]
    assert all(any(line.startswith(f"  {identity}  ") for line in wide) for identity in IDS)
    for identity in IDS:
        assert any(line.strip().startswith(identity if width > 80 else identity.partition(".")[2]) for line in lines)


def test_the_table_says_what_was_expected_and_why() -> None:
    found = [PropertyResult(IDS[0], "expected-failure", 3, 2.0, 0.1, "known: see issue 7"), passed(IDS[1])]
    text = "\n".join(line.plain for line in property_table(found, 80))
    assert re.search(r"output_without_mask +expected ", text)
    assert f"  expected-failure  known: see issue 7\n    {IDS[0]}" in text


@WIDTHS
def test_a_question_keeps_its_lines_and_the_code_to_copy(width: int) -> None:
    code = "    def call(self, module, query, key, value, mask):  # " + "x" * 120
    reason = f"{'the mask may mean two things, and both fit ' * 4}\n{code}\nthen 109 of 109 properties hold"
    lines = screen(SubjectResult("model.py", question=True, reason=reason), width)
    assert any(line.endswith(code) for line in lines), "code that is copied is whole"
    assert too_wide([line for line in lines if code not in line], width) == []
    assert lines[2] == "model.py"
    assert lines[3].startswith("  question: the mask may mean")
    assert lines[-1] == "    then 109 of 109 properties hold"


def test_several_subjects_share_the_screen_and_end_in_a_table() -> None:
    results = [
        red(),
        green(),
        green("a" * 100 + "/attention.py"),
        SubjectResult("nosuch:thing", reason="it cannot be imported"),
    ]
    lines = [line.plain for line in subject_table(results, 80)]
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines] == ["verdict", "violated", "holds", "holds", "unjudged"]
    assert lines[1].split()[2:5] == ["80", "100", "1240"]
    assert lines[3].split()[0].startswith("...")
    assert lines[3].split()[0].endswith("/attention.py")
    assert lines[4].split()[2:] == ["-"] * 4
    named = [line for line in screen(red(), alone=False) if line.startswith("    ") and line.split()[0] in KNOWN]
    assert len(named) == 5


def test_the_table_counts_the_cases_that_the_verdict_counts() -> None:
    tried = replace(green(), properties=[passed(IDS[0]), PropertyResult(IDS[1], "not-applicable", 2, reason="raises there")])
    assert subject_table([tried], 80)[1].plain.split()[2:5] == ["0", "1", str(passed(IDS[0]).cases)]
    assert f"on {passed(IDS[0]).cases} cases" in "\n".join(screen(tried))


@WIDTHS
def test_the_story_of_one_subject_fits_too(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_story(console, red(), Diagnosis("unknown", (), ("No known bug gives these numbers. " * 4,)), Request("m.py"), KNOWN)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert too_wide(lines, width) == []
    assert "  FAILED oracle.output_without_mask" in lines


def test_the_header_is_one_line_and_says_what_is_unusual() -> None:
    (line, *_) = screen(green())
    assert line == "mhsa 0.1.0  torch 2.13.0+cpu  dtypes float64+float32  profile quick  seed 0"
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_header(console, ENVIRONMENT | {"device": "cuda", "dtypes": "float16"})
    assert "device cuda" in console.file.getvalue()  # type: ignore[attr-defined]


def test_many_warnings_are_counted() -> None:
    result = green(warnings=[f"the expected failure of masks.{n} has no reason" for n in range(40)])
    assert len(screen(result)) < 16
    assert "  and 35 more warnings: -v lists them" in screen(result)
    assert sum("has no reason" in line for line in screen(result, verbose=True)) == 40


class TestFolding:
    def test_words_are_never_cut_in_two(self) -> None:
        words = "what a person reads is folded at spaces, " * 5
        lines = fold(words.strip(), 30)
        assert max(map(len, lines)) <= 30
        assert " ".join(lines) == words.strip()

    def test_a_word_longer_than_a_line_is_broken_where_it_has_a_joint(self) -> None:
        path = "/a/long/folder/of/somebody/with/a/package/and/modules/attention.py"
        lines = fold(path, 30)
        assert "".join(lines) == path
        assert all(line.endswith("/") for line in lines[:-1])
        assert "".join(fold("x" * 95, 30)) == "x" * 95

    def test_nothing_that_comes_from_a_subject_ends_a_line_or_moves_the_cursor(self) -> None:
        assert fold("a\x1b[2Jb\x00", 40) == ["a[2Jb"]
        assert short("a\nb\x1b", 40) == "a b"

    def test_what_hangs_stands_below_its_beginning(self) -> None:
        lines = [line.plain for line in hanging("  observed  ", "one two three four five six seven eight nine ten", 40)]
        assert lines == ["  observed  one two three four five six", "            seven eight nine ten"]
        (line,) = hanging("  observed  ", "one two three four five six seven eight nine ten", 40, most=1)
        assert line.plain == "  observed  one two three four five..."

    @pytest.mark.parametrize(("columns", "width"), [("", 80), ("40", 80), ("132", 132), ("wide", 80)])
    def test_what_is_no_terminal_has_80_columns(self, columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr("sys.stdout", io.StringIO())
        assert wide_console(no_color=True).width == width


class TestProgress:
    def lines(self, *events: Event) -> list[str]:
        console = Console(file=io.StringIO(), width=80)
        progress = Progress(console, ["model.py"], 121)
        said = []
        for event in events:
            progress(event)
            said.append(progress.line(event, progress.started + 3))
        return said

    def test_nothing_is_counted_before_anything_is_planned(self) -> None:
        loading, running, done, cause = self.lines(
            Event("loading"), Event("running", 1, IDS[0], planned=2), Event("done", 1, IDS[0], failed(IDS[0])),
            Event("looking for the cause"),
        )  # fmt: skip
        assert loading == "3 s: loading torch and the subjects"
        assert running == f"0 of 2 properties, 3 s: model.py {IDS[0]}"
        assert done.startswith("1 of 2 properties, 1 failed, 3 s")
        assert cause.endswith(": looking for the cause")


def test_axes_are_told_in_sizes_that_everybody_knows() -> None:
    packed = AxisReading(("query", "key", "value"), ("phd", "in"))
    assert packed.words == "[3 x H x d_k, d_model]"
    assert AxisReading(("key",), ("h", "in", "d")).words == "[H, d_model, d_k]"


def test_the_words_of_a_case_are_explained() -> None:
    page = (ROOT / "docs" / "cases.md").read_text()
    for word in ("two_clusters", "d_model", "d_k", "fully_masked_row"):
        assert word in page


@pytest.mark.parametrize(("outcome", "asked"), [("pass", []), ("fail", ["looking for the cause"])])
def test_a_cause_is_looked_for_only_where_something_fails(
    outcome: str, asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("mhsa.bugs.diagnosis.client.DiagnosisClient.hear", lambda *_: None)
    monkeypatch.setattr("mhsa.bugs.diagnosis.client.DiagnosisClient.conclude", lambda *_: {})
    monkeypatch.setattr("mhsa.reports.progress.Progress.__call__", lambda _, event: told.append(event.kind))

    def run(child: Child) -> Iterator[None]:
        child.add(1, PropertyResult(IDS[0], outcome, cases=5, reason=REASON))  # type: ignore[arg-type]
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    code = main(["verify", "m:A", "-v"])
    assert (code, [kind for kind in told if kind != "done"]) == (int(outcome == "fail"), asked)
    assert IDS[0] in capsys.readouterr().out
