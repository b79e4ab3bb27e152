"""Hostile text breaks no report of a run, and nothing red is green in any of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.document.run import RunRecord
from mhsa.records.results import PropertyResult, SubjectResult, write_json
from mhsa.reports.annotations import annotate
from mhsa.reports.markdown import markdown
from mhsa.reports.terminal import print_header
from tests.helpers.report_data import MARKDOWN, cells, counts, failing, finding, kinds, parsed, read_back, run, subject

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
