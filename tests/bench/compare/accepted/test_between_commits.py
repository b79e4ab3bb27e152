"""Between two commits what head accepts in addition is allowed, and what base has accepted already is not allowed once more."""

from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.between import between, introduced, place_in
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.accepted.file import NAME, addition
from mhsa.bench.git.repository import Repository as Commits
from mhsa.records.errors import UsageError
from tests.helpers.repository import Repository

A = Acceptance("a", {"att forward exercise float32": Figures(1.15)}, "2026-11-30", NAME, "b" * 40, "c" * 40)
B = replace(A, reason="b", figures={"att training exercise float32": Figures(1.2)})


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def text(*acceptances: Acceptance) -> str:
    return "\n".join(addition(acceptance, {}) for acceptance in acceptances)


def allowed(repository: Repository, base: str, head: str = "HEAD") -> list[str]:
    commits = Commits(repository.folder)
    return [a.reason for a in between(commits, commits.commit(base), commits.commit(head), place_in(commits))]


def test_what_head_has_in_addition(repository: Repository) -> None:
    repository.commit("one", {NAME: text(A)})
    repository.commit("two", {NAME: text(A, B)})
    assert allowed(repository, "HEAD~2") == ["a", "b"]
    assert allowed(repository, "HEAD~1") == ["b"]
    assert allowed(repository, "HEAD") == []
    assert allowed(repository, "HEAD", "HEAD~2") == []


def test_another_reason_allows_nothing_once_more(repository: Repository) -> None:
    repository.commit("one", {NAME: text(A)})
    repository.commit("two", {NAME: text(replace(A, reason="in better words"))})
    assert allowed(repository, "HEAD~1") == []


def test_what_base_has_is_not_allowed_however_late_it_is_accepted(repository: Repository) -> None:
    slow = repository.git("rev-parse", "HEAD").strip()
    repository.commit("one", {NAME: text(replace(A, commit=slow))})
    assert allowed(repository, "HEAD~1") == [], "base is the slow one itself"
    assert allowed(repository, "HEAD~2") == ["a"]


def test_a_commit_that_is_not_here_is_one_that_was_squashed(repository: Repository) -> None:
    repository.commit("squashed", {NAME: text(A)})
    assert allowed(repository, "HEAD~1") == ["a"]


def test_messages_since_base_count_also_within_a_merge(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "branch")
    repository.commit("slow\n\nMhsa-accept: att *: 1.1x: of the branch", {"README.md": "x"})
    repository.commit("words", {"README.md": "y"})
    repository.git("checkout", "-q", "main")
    repository.commit("on main", {"other.md": "x"})
    repository.git("merge", "-q", "--no-ff", "-m", "Merge it", "branch")
    assert allowed(repository, "HEAD^1") == ["of the branch"]
    repository.commit("after", {"README.md": "z"})
    assert allowed(repository, "HEAD~1") == []


def test_a_message_without_a_reason_stops_it(repository: Repository) -> None:
    repository.commit("slow\n\nMhsa-accept: att *: 1.1x", {"README.md": "x"})
    with pytest.raises(UsageError, match="without a reason"):
        allowed(repository, "HEAD~1")


def test_the_file_stands_next_to_the_configuration(tmp_path: Path) -> None:
    repository = Repository(tmp_path, configured=False)
    sub = tmp_path / "parts" / "ml"
    sub.mkdir(parents=True)
    assert place_in(Commits(sub)) == f"parts/ml/{NAME}"
    (sub.parent / "pyproject.toml").write_text("[tool.mhsa]\n")
    assert place_in(Commits(sub)) == f"parts/{NAME}"
    repository.commit("one", {f"parts/{NAME}": text(A)})
    commits = Commits(sub)
    assert len(between(commits, commits.commit("HEAD~1"), commits.commit("HEAD"), place_in(commits))) == 1


def test_the_commit_with_which_each_came_in(repository: Repository) -> None:
    repository.commit("one", {NAME: text(A)})
    repository.commit("words\n\nMhsa-accept: att *: 1.1x: by message", {"README.md": "x"})
    repository.commit("two", {NAME: text(A, B)})
    repository.commit("bad\n\nMhsa-accept: att *: 1.1x", {"README.md": "y"})
    commits = Commits(repository.folder)
    described = commits.described(commits.newest(20))
    found, problems = introduced(commits, described, NAME)
    assert [(described[n].message, a.reason) for n, a in found] == [("one", "a"), ("words", "by message"), ("two", "b")]
    (problem,) = problems
    assert "without a reason" in problem
    found, _ = introduced(commits, described[3:], NAME)
    assert [a.reason for _, a in found] == ["by message", "b"], "what was there before the range did not come in with it"
