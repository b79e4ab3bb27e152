"""The modules of docs/language-models.md hold under the lines that the page declares, and a bug in each is violated."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from tests.helpers.places import ROOT

PAGE = (ROOT / "docs" / "language-models.md").read_text()
CODE = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
DECLARED = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
SUBJECTS = ["causal", "grouped", "encoder", "sinks"]
# What the page has, and what somebody could have written: of each module one line.
BUGS = {
    "causal": ("torch.tril(ones)", "torch.tril(ones, 1)"),  # the next token is seen
    "grouped": ("k * cos + rotate_half(k) * sin", "k * cos - rotate_half(k) * sin"),  # keys turn the other way
    "encoder": ("math.sqrt(self.attention_head_size)", "math.sqrt(hidden_states.size(-1))"),  # the width of all heads
    "sinks": (  # of another head
        "self.sinks.view(1, self.kv_heads, self.group, 1, 1)",
        "self.sinks.view(1, self.group, self.kv_heads, 1, 1).transpose(1, 2)",
    ),
}


def verdicts(folder: Path, code: str, *options: str) -> dict[str, str]:
    (folder / "attention.py").write_text(code)
    (folder / "pyproject.toml").write_text(DECLARED)
    main(["verify", "--no-color", "--no-diagnosis", "--json", "report.json", *options])
    report = json.loads((folder / "report.json").read_text())
    return {s["label"]: s["verdict"] for s in report["subjects"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_declares_three_lines_at_most() -> None:
    declared = tomllib.loads(DECLARED)["tool"]["mhsa"]["subjects"]
    assert list(declared) == SUBJECTS
    assert all(set(subject) == {"subject", "contract"} for subject in declared.values())
    assert all(1 <= len(subject["contract"]) <= 3 for subject in declared.values())


def test_they_agree_with_the_oracle(here: Path) -> None:
    assert verdicts(here, CODE, "-k", "oracle") == dict.fromkeys(SUBJECTS, "holds")


def test_they_hold_by_every_property(here: Path) -> None:
    assert verdicts(here, CODE) == dict.fromkeys(SUBJECTS, "holds")


def test_a_bug_in_each_is_violated(here: Path) -> None:
    code = CODE
    for right, wrong in BUGS.values():
        assert code.count(right) == 1
        code = code.replace(right, wrong)
    assert verdicts(here, code, "-k", "oracle", "-x") == dict.fromkeys(SUBJECTS, "violated")
