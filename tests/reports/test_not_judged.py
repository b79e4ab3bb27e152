"""What a user can reach and nothing has tried is named in every report, and under --strict no verdict is green with it."""

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from mhsa.commands.cli import main
from mhsa.introspect.resolve import understand
from mhsa.judge.judge import Judge
from mhsa.records.document.run import RunRecord
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult, as_data
from mhsa.reports.annotations import annotate
from mhsa.reports.diagnose_output import print_story
from mhsa.reports.html.verdict_page import page
from mhsa.reports.junit import junit
from mhsa.reports.markdown import markdown
from mhsa.reports.terminal import verdict_lines
from mhsa.run.child import Child
from tests.helpers.model_file import model_file

MODEL = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def heads(self, query, key, value):
        parts = ((self.q, query), (self.k, key), (self.v, value))
        return (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)

    def attend(self, query, key, value, mask=None):
        q, k, v = self.heads(query, key, value)
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -1e9)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights

    def forward(self, query, key, value, mask=None, key_padding_mask=None, *, is_causal=False, **more):
        return self.attend(query, key, value, mask)[0]


def function(q, k, v, mask=None, causal=False, *rest, window=None, **more):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)


class Core(nn.Module):
    def forward(self, query, key, value, scale=None):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)


class Everything(Attention):
    def forward(self, query, key, value, mask=None, need_weights=False):
        output, weights = self.attend(query, key, value, mask)
        return (output, weights) if need_weights else output
"""
model = model_file(MODEL)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("Attention", ("argument key_padding_mask", "argument is_causal", "arguments of the call in **more")),
        ("function", ("argument causal", "argument window")),
        ("Core", ("argument scale",)),
        ("Everything", ()),
        ("mhsa:MultiHeadAttention", ()),
        ("mhsa:fused_attention",  # causal is judged on and off, and a bias
         ("argument window", "argument scale", "argument softcap", "argument sinks")),
        ("torch.nn:MultiheadAttention",
         ("argument key_padding_mask", "argument is_causal", "argument average_attn_weights=True")),
        ("torch.nn.functional:scaled_dot_product_attention",
         ("argument is_causal", "argument scale", "argument enable_gqa")),
    ],
)  # fmt: skip
def test_arguments_that_are_left_at_their_defaults_are_named(model: Path, name: str, left: tuple[str, ...]) -> None:
    assert understand(name if ":" in name else f"{model}:{name}", ("float64",)).not_judged == left


LEFT = ["argument key_padding_mask", "argument <b>"]


def result(outcome: str = "pass") -> SubjectResult:
    return SubjectResult("model.py", properties=[PropertyResult("oracle.output", outcome, cases=5)], not_judged=LEFT)


def data(outcome: str = "pass", *, strict: bool = False) -> dict[str, Any]:
    return as_data([result(outcome)], {"mhsa": "0"}, strict=strict)


def record(*, strict: bool = False) -> RunRecord:
    return RunRecord.of(data(strict=strict))


def test_the_verdict_line_says_it_of_what_holds_and_of_what_does_not() -> None:
    words = "not judged: argument key_padding_mask, argument <b>: "
    assert verdict_lines(result(), 200)[0].plain == f"  holds; {words}1 property on 5 cases, 0.0 s"
    assert verdict_lines(result("fail"), 200)[0].plain.startswith(f"  violated; {words}1 of 1 properties fail")


def test_so_does_a_diagnosis() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    print_story(console, result(), None, Request("model.py", "model.py"), {})
    assert "holds; not judged: argument key_padding_mask" in console.export_text()


def test_so_do_json_markdown_and_the_page() -> None:
    assert data()["subjects"][0]["not_judged"] == LEFT
    assert (data()["strict"], data()["exit_code"], data(strict=True)["exit_code"]) == (False, 0, 2)
    assert "| ✅ holds; not judged: argument key\\_padding\\_mask, argument &lt;b&gt;: 1 property" in markdown(record())
    assert "not judged: argument key_padding_mask, argument &lt;b&gt;; 1 property on 5 cases" in page(record(), {})


def test_so_does_junit_as_a_skip_and_under_strict_as_an_error() -> None:
    for strict, tag in ((False, "skipped"), (True, "error")):
        suite = ET.fromstring(junit(record(strict=strict)).encode())[0]
        (case,) = (c for c in suite.iter("testcase") if c.get("name") == "everything_is_judged")
        assert [e.tag for e in case] == [tag]
        assert case[0].get("message") == "holds; not judged: argument key_padding_mask, argument <b>"
        assert (suite.get("tests"), suite.get("errors")) == ("2", str(int(strict)))


def test_so_do_annotations_as_a_notice_and_under_strict_as_an_error() -> None:
    for strict, kind in ((False, "notice"), (True, "error")):
        (line,) = annotate(record(strict=strict))
        assert line.startswith(f"::{kind} title=model.py%3A not judged::holds; not judged: argument key_padding_mask")


def test_where_nothing_is_left_no_report_mentions_it() -> None:
    whole = RunRecord.of(
        as_data([SubjectResult("m", properties=[PropertyResult("oracle.output", "pass", cases=5)])], {}, strict=True)
    )
    assert annotate(whole) == []
    for text in (junit(whole), markdown(whole), page(whole, {})):
        assert "not judged" not in re.sub("<style>.*</style>|<script>.*</script>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("configured", [False, True])
def test_strict_makes_it_2_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], configured: bool
) -> None:
    def passing(child: Child) -> Iterator[None]:
        child.add(1, PropertyResult("oracle.output_without_mask", "pass", cases=1))
        child.results[0].not_judged = LEFT
        child.finished = True
        yield

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Child, "run", passing)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    strict = "strict = true\n" if configured else ""
    (tmp_path / "pyproject.toml").write_text(f'[tool.mhsa]\n{strict}[tool.mhsa.subjects]\nmine = "m:A"\n')
    command = ["verify", "--no-diagnosis", "--json", "o.json", "--no-color"]
    assert main(command) == 2 * int(configured)
    assert ("strict:" in capsys.readouterr().out) == configured
    assert main([*command, "--strict"]) == 2
    assert "  strict: the exit code is 2, because something of mine was not judged" in capsys.readouterr().out
    assert json.loads(Path("o.json").read_text())["exit_code"] == 2
    assert main([*command, "--strict", "--exit-zero"]) == 2


def test_the_bare_engine_says_it_at_the_end() -> None:
    """What each subject's first report carries, under xdist too, is printed in the session's summary."""
    judge: Any = SimpleNamespace(left={}, unjudged=False)
    for number, left in ((2, LEFT), (1, [])):
        about = {"number": number, "notes": [], "planned": [], "place": None, "not_judged": left}
        Judge.pytest_runtest_logreport(judge, SimpleNamespace(user_properties=[("mhsa-subject", about)]))  # type: ignore[arg-type]
    lines: list[str] = []
    Judge.pytest_terminal_summary(judge, SimpleNamespace(write_line=lines.append))  # type: ignore[arg-type]
    assert lines == ["mhsa: [2] not judged: argument key_padding_mask, argument <b>"]


def test_what_is_accepted_by_name_passes_under_strict_and_what_is_new_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(child: Child) -> Iterator[None]:
        (there,) = child.results
        there.notes, there.not_judged = [("call", "forward(x)")], list(LEFT)
        child.add(1, PropertyResult("oracle.output_without_mask", "pass", cases=5))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    table = '[tool.mhsa]\nstrict = true\n[tool.mhsa.subjects.mine]\nsubject = "m:A"\n'
    for accepted, code in ((LEFT, 0), (LEFT[:1], 2), ([*LEFT, "argument gone"], 1)):
        (tmp_path / "pyproject.toml").write_text(f"{table}not_judged = {json.dumps(accepted)}\n")
        assert main(["verify", "--no-diagnosis", "--junit", "j.xml"]) == code
        said = capsys.readouterr().out
        assert f"not judged: {', '.join(LEFT)}" in said, "what is accepted is named all the same"
        assert ("not_judged = [...] in its table accepts it" in said) == (code == 2)
        assert ("accepts 'argument gone', and nothing is left under that name" in said) == (code == 1)
        report = (tmp_path / "j.xml").read_text()
        assert 'type="not-judged"' in report
        assert ("<error" in report) == (code == 2)
