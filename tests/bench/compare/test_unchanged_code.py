"""Commits that differ in nothing that a subject can notice."""

import json
from pathlib import Path

import pytest

from mhsa.bench.compare.unchanged_code import are_the_same
from mhsa.commands.cli import main
from tests.helpers.repository import MODULE, Repository


@pytest.mark.parametrize(
    ("changed", "used", "same"),
    [
        ([], ["pack"], True),
        (["README.md", "docs/a/b.rst", "docs/conf.yml", ".github/workflows/x.yml", "LICENSE"], None, True),
        (["docs/example.py"], None, False),  # what is imported is not known
        (["docs/example.py", "tests/test_x.py"], ["pack"], True),
        (["pack/unused.py"], ["pack"], False),  # perhaps it is imported where it was not looked for
        (["setup.py"], ["pack"], True),
        (["other.py"], [""], False),
        (["src/pack/a.py"], ["src"], False),
        (["data/weights.bin"], ["pack"], False),
        (["pack/kernel.cu"], ["pack"], False),
        (["kernels/kernel.cu"], ["pack"], False),  # compiled at import, from wherever
        (["vocabulary.txt"], ["pack"], False),
        (["pyproject.toml"], ["pack"], False),
        (["pack/README.md"], ["pack"], True),
        (["Makefile"], ["pack"], False),
    ],
)
def test_what_can_matter(changed: list[str], used: list[str] | None, same: bool) -> None:
    assert are_the_same(changed, used) is same


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path)


def compare(*arguments: str) -> tuple[int, dict]:
    """Compare with a budget in which no clock could decide anything."""
    few = ["--shape", "exercise", "--no-verify", "--budget", "1", "--json", "../out.json", "--no-color"]
    code = main(["compare", *arguments, *few])
    return code, json.loads(Path("../out.json").read_text())


@pytest.mark.parametrize("apart", [False, True])
def test_words_and_tests_are_not_slower_after_one_round(
    repository: Repository, capsys: pytest.CaptureFixture[str], apart: bool
) -> None:
    repository.commit("words", {"README.md": "words\n"} if apart else {"README.md": "words\n", "tests/test_x.py": "x = 1\n"})
    code, found = compare("HEAD~1", *(["--apart"] if apart else []))
    assert (code, found["verdict"]) == (0, "not slower")
    for benchmark in found["benchmarks"]:
        assert (benchmark["outcome"], benchmark["words"]) == ("same", "the same code at both commits")
        assert benchmark["decision"] is None
        assert min(benchmark["seconds"]) > 0, "the times of both are shown all the same"
    assert "same code" in capsys.readouterr().out


def test_a_module_that_the_subject_imports_is_timed(repository: Repository) -> None:
    repository.commit("wordy", {"pack/attention.py": '"""Words."""\n' + MODULE})
    _, found = compare("HEAD~1", "--pass", "forward")
    (benchmark,) = found["benchmarks"]
    assert (benchmark["outcome"], benchmark["decision"]["processes"]) == ("timed", 4)
