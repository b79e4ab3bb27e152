"""Declarations are the same everywhere; a question carries one, and says what holds under it."""

import json
import re
from pathlib import Path

import pytest

from mhsa.commands import probe as probing
from mhsa.commands.cli import main
from mhsa.commands.options.declarations import contract_field
from mhsa.introspect.questions import load_under, without_judging
from mhsa.records.declarations import as_options, assignment, declared_field, problem, toml
from mhsa.records.document.run import RunRecord
from mhsa.records.errors import Question
from mhsa.records.lines_to_paste import answers, question_with_answers
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult, as_data
from mhsa.records.understood import Understood, notes_of, pinned
from mhsa.reports.annotations import annotate
from mhsa.reports.html.verdict_page import page
from mhsa.reports.junit import junit
from mhsa.reports.markdown import markdown
from mhsa.reports.terminal import verdict_lines
from mhsa.subject.subject import Subject

WRAPPER = """\
from torch import nn


class Padded(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.mha = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, query, key, value, mask=None):
        return self.mha(query, key, value, key_padding_mask=mask)[0]
"""
BLOCKED = {"mask": "blocked"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mask=blocked", "blocked"),
        ('mask="blocked"', "blocked"),
        ("mask_shape=[B, Tk]", "[B, Tk]"),
        ("window=[3, 0]", [3, 0]),
        ("rotary={base = 10000.0}", {"base": 10000.0}),
        ("config.window=4", 4),
    ],
)
def test_values_are_toml_and_bare_words_are_texts(text: str, value: object) -> None:
    assert assignment(text) == (text.partition("=")[0], value)


def test_a_word_that_toml_takes_for_a_number_is_a_word_in_a_field_of_texts() -> None:
    assert declared_field("fully_masked_row=nan") == ("fully_masked_row", "nan")


@pytest.mark.parametrize("text", ["mask", "mask=", "=blocked", 'mask="blocked', "rotary={base"])
def test_what_is_no_declaration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not NAME=VALUE|the value is not TOML"):
        assignment(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("msk=blocked", "unknown key 'msk'; did you mean mask?"),
        ("mask=blokked", "must be one of None, 'allowed', 'blocked', 'additive', 'lengths'; did you mean blocked?"),
        ("empty_rw=zeros", "unknown key 'empty_rw'; known are fully_masked_row"),
    ],
)
def test_the_command_line_refuses_with_the_words_of_the_configuration(text: str, words: str, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", "model.py", "--contract", text])
    assert left.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert words in problem(dict([assignment(text)]))[1]


def test_former_names_are_understood_and_never_suggested() -> None:
    assert contract_field("empty_row=zeros") == ("empty_row", "zeros")
    assert Request("a", "a.py", contract={"empty_row": "zeros"}).under({"mask": "blocked"}).contract == {
        "fully_masked_row": "zeros",
        "mask": "blocked",
    }
    assert "known are fully_masked_row, mask," in problem({"empty_rows": "zeros"})[1]


def test_options_say_the_same_again() -> None:
    given = {"mask": "blocked", "window": [3, 0], "reason": "true"}
    words = as_options(given)[1::2]
    assert dict(map(declared_field, words)) == given
    assert toml({"base": 1.5, "a b": ["x"]}) == '{base = 1.5, "a b" = ["x"]}'


def test_a_configured_subject_is_told_its_whole_contract() -> None:
    request = Request("ours", "a.py", folder="/x", contract={"masked": "never-read"})
    assert answers({"mask": "blocked"}, request)["pyproject.toml"] == (
        '[tool.mhsa.subjects.ours]\ncontract = { masked = "never-read", mask = "blocked" }'
    )
    assert 'mhsa_contract = mhsa.Contract(mask="blocked")' in question_with_answers("seen", {"mask": "blocked"}, request)


def result(outcome: str = "pass") -> SubjectResult:
    request = Request("a.py", "a.py")
    found = SubjectResult("a.py", question=True, reason="it is right if True hides", declaration={"mask": "blocked"})
    found.declare = answers(found.declaration, request)
    found.properties = [PropertyResult("masks.masking_is_deleting", "pass", 5), PropertyResult("oracle.x", outcome, 5)]  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(("outcome", "words"), [("pass", "2 of 2 properties hold"), ("fail", "1 of 2 properties fail")])
def test_every_report_has_the_question_what_then_holds_and_the_line(outcome: str, words: str) -> None:
    found = result(outcome)
    assert found.verdict == "question"
    data = as_data([found], {})
    assert data["exit_code"] == 2
    subject = data["subjects"][0]
    assert subject["declaration"] == {"mask": "blocked"}
    assert subject["under"]["failed"] == int(outcome == "fail")
    run = RunRecord.of(data)
    terminal = "\n".join(line.plain for line in verdict_lines(found, 80))
    for report in (terminal, junit(run), markdown(run), "\n".join(annotate(run)), page(run, {})):
        report = re.sub(r"</?(span|wbr)[^>]*>", "", report).replace("&quot;", '"').replace("%0A", "\n")
        assert "it is right if True hides" in report
        assert words in report
        assert 'contract = { mask = "blocked" }' in report
    assert '<error message="it is right if True hides under mask' in junit(run)


def test_a_question_is_judged_under_its_declaration_only_where_that_cannot_look_green(tmp_path: Path) -> None:
    file = tmp_path / "padded.py"
    file.write_text(WRAPPER)
    request = Request(str(file), str(file))
    loaded = load_under(request)
    assert isinstance(loaded.subject, Subject)
    assert loaded.question is not None
    assert loaded.question.declaration.items() >= BLOCKED.items()
    assert loaded.subject.contract.mask == "blocked"
    assert {u.known for u in loaded.subject.understood if u.part == "mask"} == {"fitted"}
    assert isinstance(without_judging(request, loaded), Question)
    declared = load_under(request.under(loaded.question.declaration))
    assert declared.question is None
    meaning = [u.known for u in declared.subject.understood if "mask" in u.declaration]  # type: ignore[union-attr]
    assert meaning == ["declared"]


def test_declarations_of_several_questions_add_up(monkeypatch) -> None:
    def load(request: Request, target: object = None) -> object:
        if "mask" not in request.contract:
            return Question("first", {"mask": "blocked"})
        return Question("second", {"mask_shape": "[B, Tk]"}) if len(request.contract) == 1 else Question("an adapter")

    monkeypatch.setattr("mhsa.introspect.questions.load_subject", load)
    loaded = load_under(Request("a", "a.py"))
    assert str(loaded.question) == 'first\n\nsecond\n\nunder mask = "blocked", mask_shape = "[B, Tk]": an adapter'


READING = [
    Understood("call", "forward(x)"),
    Understood("mask", "[B, Tk], bool", "fitted", {"mask_shape": "[B, Tk]"}),
    Understood("mask", "True may attend", "default", {"mask": "allowed"}),
]


def test_a_reading_says_how_it_is_known() -> None:
    assert notes_of(READING) == (
        ("call", "forward(x)"),
        ("mask", "[B, Tk], bool (found by calling), True may attend (as usual)"),
    )
    assert pinned(READING) == {"mask_shape": "[B, Tk]", "mask": "allowed"}


@pytest.fixture
def probed(monkeypatch, tmp_path: Path) -> SubjectResult:
    monkeypatch.chdir(tmp_path)
    found = SubjectResult("a.py", reading=list(READING))
    monkeypatch.setattr(probing, "read_subject", lambda *_: found)
    return found


def test_probe_prints_and_pins_a_reading(probed: SubjectResult, tmp_path: Path, capsys) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('# ours\n[tool.mhsa.subjects.a]\nsubject = "a.py"  # kept\n')
    assert main(["probe", "a.py", "--write", "--json", "o.json"]) == 0
    said = capsys.readouterr().out
    assert "found by calling  [B, Tk], bool" in said
    assert len(said.splitlines()) <= 15
    assert pyproject.read_text().startswith('# ours\n[tool.mhsa.subjects.a]\nsubject = "a.py"  # kept\ncontract = {')
    assert json.loads((tmp_path / "o.json").read_text())["contract"] == pinned(READING)
    assert main(["probe", "a.py", "--write"]) == 0
    assert "declares all of that already" in capsys.readouterr().out


def test_probe_refuses_to_pin_what_the_configuration_says_otherwise(probed: SubjectResult, tmp_path: Path, capsys) -> None:
    text = '[tool.mhsa.subjects.a]\nsubject = "a.py"\ncontract = { mask = "blocked" }\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SystemExit):
        main(["probe", "a.py", "--write"])
    assert 'says mask = "blocked", and the reading is mask = "allowed"' in capsys.readouterr().err
    assert (tmp_path / "pyproject.toml").read_text() == text


def test_probe_pins_a_question_only_if_it_is_accepted(probed: SubjectResult, tmp_path: Path, capsys) -> None:
    probed.question, probed.reason, probed.declaration = True, "is this meant", {"mask": "blocked"}
    probed.declare = answers(probed.declaration, Request("a.py", "a.py"))
    assert main(["probe", "a.py", "--write"]) == 2
    assert "nothing was written; --accept declares what is suggested" in capsys.readouterr().out
    assert not (tmp_path / "pyproject.toml").exists()
    assert main(["probe", "a.py", "--write", "--accept"]) == 0
    assert 'mask = "blocked"' in (tmp_path / "pyproject.toml").read_text()
