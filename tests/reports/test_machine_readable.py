"""What the reports of a run say, that hostile text cannot break them, and that nothing red is green in any of them."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.document.run import RunRecord
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult, write_json
from mhsa.reports.annotations import annotate
from mhsa.reports.failure import reproduce
from mhsa.reports.junit import junit
from mhsa.reports.markdown import append_to_step_summary, markdown
from mhsa.reports.terminal import print_header

HOSTILE = [
    "\x00\x07\x1b[31m\x7f\ud800\ufffe",
    "]]> <![CDATA[ &lt; & \"quoted\" 'so'",
    "a | b \\| c ` d `` e \\",
    "one\r\ntwo\nthree\rfour\x85five\u2028six\u2029seven\x0beight",
    "</details></summary><script>alert(1)</script><!--",
    "::error file=x,line=1::gotcha\n::stop-commands::token",
    "# heading\n\n- item\n\n```\nfence\n```\n\n| a | b |\n| - | - |\n",
    "100% %0A %3A %25 **bold** _it_ [a](b) ![c](d) $x$ ~~no~~",
    "",
]
FENCED = settings(max_examples=100, database=None, deadline=None)
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=())), st.text("\\|`*_<>&\n\r:,% ~[]#-ab"))
MARKDOWN = MarkdownIt("commonmark").enable("table")


def finding(name: str = "masks.masking_is_deleting", outcome: str = "pass", **more: Any) -> dict[str, Any]:
    return {"id": name, "family": name.partition(".")[0], "outcome": outcome, "cases": 6, "seconds": 0.25, "reason": ""} | more


def failing(name: str = "masks.masking_is_deleting", reason: str = "output[0]=2, but must be 1", **more: Any) -> dict[str, Any]:
    counterexample = {"message": reason, "case": {"words": "B=1 H=2 Tq=1"}} | more
    reproduce = f"mhsa verify model.py -k {name} --seed 7"
    return finding(name, "fail", reason=reason, counterexample=counterexample, reproduce=reproduce)


def subject(*properties: dict[str, Any], name: str = "model.py", verdict: str = "", **more: Any) -> dict[str, Any]:
    failed = any(p["outcome"] == "fail" for p in properties)
    verdict = verdict or ("violated" if failed else "holds")
    return {"subject": name, "verdict": verdict, "reason": "", "diagnosis": None, "properties": list(properties)} | more


def run(*subjects: dict[str, Any], **more: Any) -> dict[str, Any]:
    environment = {"mhsa": "0.1.0", "device": "cpu", "dtypes": "float64+float32", "profile": "quick", "seed": 7}
    return {"schema": 1, "environment": environment, "exit_code": 0, "subjects": list(subjects)} | more


def parsed(data: dict[str, Any]) -> ET.Element:
    return ET.fromstring(junit(RunRecord.of(data)).encode())


def counts(element: ET.Element) -> list[int]:
    return [int(element.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")]


def read_back(line: str) -> tuple[str, dict[str, str], str]:
    """What GitHub's runner reads from a line: the command, its properties and the message, all unescaped."""
    match = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert match is not None, line
    kind, words, message = match.groups()
    properties = dict(word.split("=", 1) for word in words.split(","))

    def plain(text: str, signs: Mapping[str, str]) -> str:
        for escape, sign in signs.items():
            text = text.replace(escape, sign)
        return text.replace("%25", "%")

    data = {"%0D": "\r", "%0A": "\n"}
    return kind, {k: plain(v, data | {"%3A": ":", "%2C": ","}) for k, v in properties.items()}, plain(message, data)


def kinds(data: dict[str, Any]) -> list[str]:
    return [read_back(line)[0] for line in annotate(RunRecord.of(data))]


def shown(token: Token) -> str:
    """The text that an inline token shows, its own tags left out."""
    return "".join(t.content for t in token.children or () if t.type in ("text", "code_inline", "text_special"))


def cells(text: str) -> list[list[str]]:
    """Rows of all tables, header rows too, as a Markdown reader sees them."""
    rows: list[list[str]] = []
    tokens = MARKDOWN.parse(text)
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("td_open", "th_open"):
            rows[-1].append(shown(token))
    return rows


class TestJUnit:
    def test_every_outcome_is_what_ci_systems_call_it(self):
        data = run(
            subject(
                finding("oracle.output"),
                failing("masks.a"),
                finding("masks.b", "not-applicable", reason="needs weights"),
                finding("masks.c", "expected-failure", reason="known"),
                finding("masks.d", "unexpected-pass", reason="known"),
                finding("masks.e", "error", reason="gave no result"),
            )
        )
        root = parsed(data)
        (suite,) = root
        assert counts(suite) == [6, 1, 1, 2]
        assert counts(root)[:3] == [6, 1, 1]
        assert suite.get("time") == root.get("time") == "1.500"
        cases = {case.get("name"): case for case in suite.iter("testcase")}
        assert cases["output"].get("classname") == "model.py.oracle"
        assert cases["output"].get("time") == "0.250"
        assert {name: [e.tag for e in case] for name, case in cases.items()} == {
            "output": [], "a": ["failure"], "b": ["skipped"], "c": ["skipped"], "d": ["system-out"], "e": ["error"]
        }  # fmt: skip
        assert cases["b"][0].get("message") == "needs weights"
        assert cases["d"][0].text == "passes, although it is expected to fail: known"

    def test_a_failure_says_all_that_is_needed(self):
        bug = {"name": "NotScaled", "summary": "No scale.", "computes": "a", "must_be": "b", "census": "P01", "shared": None}
        diagnosis = {"kind": "confirmed", "causes": [bug], "words": []}
        failed = subject(failing(), label="model", place={"file": "src/model.py", "line": 12}, diagnosis=diagnosis)
        failure = parsed(run(failed)).find(".//failure")
        assert failure is not None
        assert failure.attrib == {"message": "output[0]=2, but must be 1", "type": "violation"}
        assert failure.text is not None
        assert failure.text.splitlines() == [
            "output[0]=2, but must be 1",
            "smallest: B=1 H=2 Tq=1",
            "cause: NotScaled (No scale)",
            "reproduce: mhsa verify model.py -k masks.masking_is_deleting --seed 7",
            "at src/model.py:12",
        ]

    def test_the_environment_and_the_seed_are_properties(self):
        properties = parsed(run(subject(finding()))).findall("testsuite/properties/property")
        said = {p.get("name"): p.get("value") for p in properties}
        assert said["seed"] == "7"
        assert said["dtypes"] == "float64+float32"
        assert said["subject"] == "model.py"

    @pytest.mark.parametrize("properties", [[], [finding(outcome="not-applicable")], [finding()]])
    def test_what_is_unjudged_has_an_error(self, properties):
        data = run(subject(*properties, verdict="unjudged", reason="it cannot be imported"))
        (error,) = parsed(data).findall("testsuite/testcase[@name='judged']/error")
        assert error.get("message") == "it cannot be imported"

    def test_an_interrupted_run_is_not_green(self):
        root = parsed(run(subject(finding()), interrupted=True))
        assert counts(root)[:3] == [2, 0, 1]
        assert root.find("testsuite/testcase[@name='interrupted']/error") is not None

    def test_a_run_without_subjects_and_an_unknown_outcome_are_not_green(self):
        assert counts(parsed(run()))[2] == 1
        assert counts(parsed(run(subject(finding(outcome="something-new")))))[2] == 1

    def test_warnings_and_the_cause_are_kept(self):
        suite = parsed(run(subject(finding(), warnings=["first", "second"])))[0]
        assert suite.findtext("system-err") == "warning: first\nwarning: second"
        assert suite.find("system-out") is None


class TestMarkdown:
    def test_what_holds_takes_one_line(self):
        text = markdown(RunRecord.of(run(subject(*[finding(f"masks.p{n}", cases=10) for n in range(3)], label="short"))))
        assert "| `short` | ✅ holds: 3 properties on 30 cases |" in text
        assert text.startswith("## ✅ mhsa verify: 1 holds\n")
        assert "###" not in text

    def test_a_violation_tells_cause_failures_and_command(self):
        bugs = [
            {"name": name, "summary": "No scale.", "computes": "Q K^T", "must_be": "Q | K", "census": "P01", "shared": 0.75}
            for name in ("NotScaled", "AlmostScaled")
        ]
        diagnosis = {"kind": "similar", "causes": bugs, "words": ["A hint, no proof."]}
        failures = [failing("oracle.output", file="cases/a b.json"), failing("masks.a")]
        lost = finding("masks.e", "error", reason="gave no result")
        data = run(subject(*failures, lost, diagnosis=diagnosis, warnings=["slow"]), subject(finding(), name="other.py"))
        text = markdown(RunRecord.of(data))
        assert text.startswith("## ❌ mhsa verify: 1 violated, 1 holds\n")
        assert "| `model.py` | ❌ violated: 2 of 2 properties fail (1 error) |" in text
        assert "**Likely cause, perhaps:** `NotScaled` or `AlmostScaled`. A hint, no proof." in text
        assert "- `NotScaled` (75 % of the failed properties in common): No scale. It computes `Q K^T`, must be <code>Q" in text
        assert ["oracle.output", "output[0]=2, but must be 1", "B=1 H=2 Tq=1"] in cells(text)
        assert "\n```sh\nmhsa replay 'cases/a b.json'\nmhsa verify model.py -k oracle.output --seed 7\n```\n" in text
        assert "- ⚠️ warning: slow\n- could not be judged: `masks.e`: gave no result\n" in text

    def test_the_command_repeats_what_is_not_usual(self):
        asked = Request("encoder", "a:B", seed=7, profile="thorough", device="cuda:1", dtypes=("bfloat16", "float16"))
        command = "mhsa verify encoder -k masks.a --seed 7 --profile thorough --dtype bfloat16 --dtype float16 --device cuda:1"
        assert reproduce(asked, "masks.a") == command

    def test_an_unknown_cause_is_said_to_be_unknown(self):
        text = markdown(
            RunRecord.of(run(subject(failing(), diagnosis={"kind": "unknown", "causes": [], "words": ["Nothing is like it."]})))
        )
        assert "**Cause not known.** Nothing is like it." in text

    def test_what_is_unjudged_says_why(self):
        text = markdown(RunRecord.of(run(subject(verdict="unjudged", reason="it cannot | be imported"))))
        assert ["model.py", "⚠️ unjudged: it cannot | be imported"] in cells(text)

    def test_a_partial_run_promises_nothing(self):
        text = markdown(RunRecord.of(run(subject(finding()), interrupted=True)))
        assert text.startswith("## ⚠️ mhsa verify: 1 holds (partial run)\n")
        assert "**Partial run.**" in text
        assert "⚠️ holds so far: 1 property on 6 cases" in text
        assert "✅" not in text

    def test_the_environment_is_collapsed_and_last(self):
        text = markdown(RunRecord.of(run(subject(finding()))))
        assert text.count("<details>") == text.count("</details>") == 1
        assert text.endswith("| seed | 7 |\n\n</details>\n")

    def test_many_failures_and_many_subjects_stay_within_what_github_takes(self):
        failures = [failing(f"masks.p{n}", reason="much to say " * 1000) for n in range(50)]
        text = markdown(RunRecord.of(run(*[subject(*failures, name=f"m{n}.py") for n in range(200)])))
        assert "30 more properties fail." in text
        assert "more subjects are left out" in text
        assert len(text.encode()) < 2**20
        assert text.count("❌ violated") == 200

    def test_what_holds_with_a_warning_says_it(self):
        text = markdown(RunRecord.of(run(subject(finding("masks.d", "unexpected-pass"), warnings=["masks.d passes"]))))
        assert "✅ holds: 1 property on 6 cases (1 unexpected-pass)" in text
        assert "### ✅ `model.py`\n\n- ⚠️ warning: masks.d passes\n" in text


class TestStepSummary:
    def test_it_is_appended_where_github_says(self, tmp_path: Path):
        file = tmp_path / "summary.md"
        file.write_text("before", encoding="utf-8")
        assert append_to_step_summary("## ✅ now \ud800", {"GITHUB_STEP_SUMMARY": str(file)})
        assert file.read_text(encoding="utf-8") == "before\n## ✅ now ?\n"

    @pytest.mark.parametrize("environ", [{}, {"GITHUB_STEP_SUMMARY": ""}])
    def test_elsewhere_nothing_is_written(self, environ):
        assert not append_to_step_summary("text", environ)

    @pytest.mark.parametrize("name", [".", "missing/summary.md", "nul\0"])
    def test_what_cannot_be_written_is_no_error(self, tmp_path: Path, name):
        assert not append_to_step_summary("text", {"GITHUB_STEP_SUMMARY": f"{tmp_path}/{name}"})


class TestAnnotations:
    def test_a_failure_points_to_the_code(self):
        (line,) = annotate(
            RunRecord.of(run(subject(failing(file="a.json"), label="m,1", place={"file": "src/a:b,c.py", "line": 12})))
        )
        assert line.startswith("::error file=src/a%3Ab%2Cc.py,line=12,title=m%2C1%3A masks.masking_is_deleting::output[0]=2,")
        assert read_back(line) == (
            "error",
            {"file": "src/a:b,c.py", "line": "12", "title": "m,1: masks.masking_is_deleting"},
            "output[0]=2, but must be 1\nsmallest: B=1 H=2 Tq=1\nreproduce: mhsa replay a.json",
        )

    def test_without_a_place_there_is_neither_file_nor_line(self):
        (line,) = annotate(RunRecord.of(run(subject(failing(), place=None))))
        assert read_back(line)[1] == {"title": "model.py: masks.masking_is_deleting"}

    def test_of_many_failures_ten_are_shown_and_the_others_counted(self):
        data = run(subject(*[failing(f"masks.p{n}") for n in range(13)]))
        assert kinds(data) == ["error"] * 10 + ["warning"]
        assert read_back(annotate(RunRecord.of(data))[-1])[2] == "3 more properties fail: masks.p10, masks.p11, masks.p12"
        data["subjects"][0]["properties"] = data["subjects"][0]["properties"][:10]
        assert kinds(data) == ["error"] * 10

    def test_each_subject_is_among_the_first(self):
        wrong = [subject(*[failing(f"masks.p{n}") for n in range(12)], name=f"{name}.py") for name in "abc"]
        titles = [
            read_back(line)[1]["title"]
            for line in annotate(RunRecord.of(run(*wrong, subject(verdict="unjudged", name="d.py"))))
        ]
        assert titles[:5] == ["a.py: masks.p0", "b.py: masks.p0", "c.py: masks.p0", "d.py: unjudged", "a.py: masks.p1"]

    def test_what_is_unjudged_is_one_error(self):
        lost = [finding(f"masks.p{n}", "error", reason="gave no result") for n in range(5)]
        (line,) = annotate(RunRecord.of(run(subject(*lost, verdict="unjudged", reason="it died"))))
        assert read_back(line) == ("error", {"title": "model.py: unjudged"}, "it died")

    def test_the_other_things_to_know(self):
        properties = [failing(), finding("masks.e", "error", reason="lost")]
        lines = annotate(RunRecord.of(run(subject(*properties, warnings=["a\nb"], place={"file": "m.py", "line": None}))))
        assert [read_back(line)[0] for line in lines] == ["error", "warning", "warning"]
        assert read_back(lines[1])[2] == "masks.e: lost"
        assert lines[2] == "::warning file=m.py,line=1,title=model.py::a%0Ab"

    def test_what_holds_needs_no_words_but_an_interrupted_or_empty_run_does(self):
        assert annotate(RunRecord.of(run(subject(finding())))) == []
        assert kinds(run(subject(finding()), interrupted=True)) == ["error"]
        assert kinds(run()) == ["error"]


def everywhere(words: str, outcome: str = "fail") -> dict[str, Any]:
    """A run with the same text wherever a subject or a person may have put it."""
    bug = dict.fromkeys(("name", "summary", "computes", "must_be", "census"), words)
    case = {"message": words, "case": {"words": words}, "file": words}
    found = finding(f"masks.{words}", outcome, reason=words, counterexample=case)
    one = subject(
        found, failing(), name=words, label=words, reason=words, warnings=[words], place={"file": words, "line": 3},
        diagnosis={"kind": "confirmed", "causes": [bug], "words": [words]},
    )  # fmt: skip
    data = run(one, subject(name=words, verdict="unjudged", reason=words), interrupted=True)
    data["environment"] |= {"note": words, f"note {words}": "note"}
    return data


def kept(words: str) -> str:
    """What can be written as XML and printed; the rest of Unicode is left out."""
    return "".join(c for c in words if c in "\t\n\r\x85" or " " <= c < "\x7f" or (c >= "\xa0" and c not in "\ufffe\uffff"
                   and not "\ud800" <= c <= "\udfff"))  # fmt: skip


class TestHostileText:
    @given(TEXT, st.sampled_from(["fail", "error", "not-applicable", "expected-failure", "unexpected-pass"]))
    @FENCED
    def test_xml_is_well_formed_and_complete(self, words, outcome):
        root = parsed(everywhere(words, outcome))
        assert [len(suite.findall("testcase")) for suite in root] == [2, 1, 1]
        assert root[0].get("name") == kept(words)  # nothing that can be said is lost
        assert [e.get("name") for e in root[0].iter("testcase")] == [kept(words), "masking_is_deleting"]

    @given(TEXT)
    @FENCED
    def test_an_annotation_is_one_line_that_reads_back(self, words):
        lines = annotate(RunRecord.of(everywhere(words)))
        assert [line.splitlines() for line in lines] == [[line] for line in lines]
        assert [line.partition(" ")[0] for line in lines] == ["::error"] * 4 + ["::warning"]
        "\n".join(lines).encode()
        said = re.sub("[\x85\u2028\u2029]", "\n", kept(words))
        kind, properties, message = read_back(lines[-1])
        assert (kind, properties.get("file", ""), message) == ("warning", said, said)

    @given(TEXT)
    @FENCED
    def test_markdown_keeps_its_shape_and_shows_the_text(self, words):
        text = markdown(RunRecord.of(everywhere(words)))
        plain = markdown(RunRecord.of(everywhere("plain")))
        assert [token.type for token in MARKDOWN.parse(text)] == [token.type for token in MARKDOWN.parse(plain)]
        assert "<script" not in MARKDOWN.render(text).replace("&lt;script", "")
        text.encode()
        said = " ".join(kept(words).split())
        if len(said) < 250:
            assert [row[0] for row in cells(text)[1:3]] == [said, said]
            assert cells(text)[4][1] == said

    @pytest.mark.parametrize("words", HOSTILE)
    def test_markdown_has_one_details_element(self, words):
        rendered = MARKDOWN.render(markdown(RunRecord.of(everywhere(words))))
        assert rendered.count("<details>") == rendered.count("</details>") == 1
        assert len(re.findall("<h[1-6]>", rendered)) == 2


def test_real_results_are_reported(tmp_path: Path):
    cause = Cause("NotScaled", "The scores are not scaled.", "softmax(Q K^T)", "softmax(Q K^T / sqrt(d_k))", "P01")
    wrong = SubjectResult(
        "model.py",
        [("call", "forward(x)")],
        [
            PropertyResult("oracle.output", "fail", 3, None, 0.5, "wrong", {"message": "wrong", "case": {"words": "B=1"}}),
            PropertyResult("masks.a", "pass", 6, 0.5, 0.25),
            PropertyResult("weights.b", "not-applicable", reason="there are none"),
        ],
    )
    right = SubjectResult("mhsa:MultiHeadAttention", [], [PropertyResult("oracle.output", "pass", 50, 0.1, 1.0)])
    lost = SubjectResult("missing.py", reason="there is no such file")
    diagnoses = {"model.py": Diagnosis("confirmed", (cause,), ("The same numbers on all 40 cases.",), 40, 30)}
    file = tmp_path / "results.json"
    write_json(file, [wrong, right, lost], {"mhsa": "0.1.0", "dtypes": "float64", "seed": 0}, diagnoses)
    data = json.loads(file.read_text(encoding="utf-8"))

    assert [counts(suite) for suite in parsed(data)] == [[3, 1, 0, 1], [1, 0, 0, 0], [1, 0, 1, 0]]
    assert kinds(data) == ["error", "error"]
    assert "cause: NotScaled (The scores are not scaled)" in read_back(annotate(RunRecord.of(data))[0])[2]
    rows = [
        ["model.py", "❌ violated: 1 of 2 properties fail (1 not-applicable)"],
        ["mhsa:MultiHeadAttention", "✅ holds: 1 property on 50 cases"],
        ["missing.py", "⚠️ unjudged: there is no such file"],
        ["oracle.output", "wrong", "B=1"],
    ]
    text = markdown(RunRecord.of(data))
    assert [row for row in cells(text) if row in rows] == rows


def test_nothing_red_is_green_anywhere():
    outcomes = ("pass", "fail", "not-applicable", "expected-failure", "unexpected-pass", "error")
    for outcome in outcomes:
        for verdict in ("violated", "unjudged"):
            data = run(subject(finding(outcome=outcome), verdict=verdict))
            assert "error" in kinds(data)
            assert sum(counts(parsed(data))[1:3]) > 0
            assert "✅" not in markdown(RunRecord.of(data))


@pytest.mark.parametrize(
    ("device", "dtypes", "told"),
    [
        ("cuda:1", "float64+float32", True),
        ("cuda", "float32, bfloat16", False),
        ("cpu, cuda", "float16", False),
        ("cpu", "float64+float32", False),
    ],
)
def test_on_a_gpu_it_is_said_that_kernels_for_half_formats_were_not_asked(device: str, dtypes: str, told: bool) -> None:
    console = Console(record=True, width=200)
    print_header(console, {"mhsa": "1", "device": device, "dtypes": dtypes})
    assert ("add --dtype bfloat16" in console.export_text()) is told
