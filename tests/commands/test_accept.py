"""mhsa compare --accept, from the command line to the next verdict: what is measured is put in, and no clock runs."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import mhsa.bench.compare.shared_process as shared_process
from mhsa.bench.compare.accepted.file import NAME
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.pull_request.marker import MARKER
from mhsa.commands.cli import main
from tests.helpers.repository import MODULE, Repository

MACHINE = {"device": "cpu", "cpu": "EPYC", "cores": 2, "threads": 1, "torch": "2.13.0", "python": "3.11.7", "os": "Linux"}
ID = "att {} exercise float32"


class Measured:
    """Stands in for the process that measures: head / base and further operators, by pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ratios: dict[str, float] = {}
        self.operators: dict[str, int] = {}
        self.rounds = 0
        monkeypatch.setattr(shared_process, "run_worker", self.run)

    def run(self, command: Any, folder: Path, plan: str, hear: Any, look: Any, timeout: float) -> str:
        self.rounds += 1
        hear({"machine": MACHINE})
        for data in json.loads(plan)["benchmarks"]:
            b = Benchmark.of_dict(data)
            ratio = self.ratios.get(b.passes, 1.0)
            counters = {"base": {"operators": 25}, "head": {"operators": 25 + self.operators.get(b.passes, 0)}}
            pair = {"outcome": "timed", "log_ratio": math.log(ratio) + 0.001 * (-1) ** self.rounds, "reasons": {},
                    "seconds": [1e-4, 1e-4 * ratio], "used": ["pack"], "counters": counters}  # fmt: skip
            hear({"benchmark": b.id, "pair": pair})
        return ""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    return Measured(monkeypatch)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    folder = tmp_path / "pack"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    repository = Repository(folder)
    repository.commit("slow", {"pack/attention.py": f"{MODULE}# slow\n"})
    return repository


def compare(*arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["compare", *arguments, "--shape", "exercise", "--no-verify", "--no-color", "--json", "../out.json"])
    return code, json.loads(Path("../out.json").read_text())


def verdicts(found: dict[str, Any]) -> list[str]:
    return [benchmark["verdict"] for benchmark in found["benchmarks"]]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_slow_down_is_accepted_once_and_judged_against_from_then_on(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    measured.ratios["training"], measured.operators["training"] = 1.15, 15
    assert compare("HEAD~1")[0] == 1
    assert 'if that is meant: mhsa compare HEAD~1 --accept "REASON"' in capsys.readouterr().out

    code, found = compare("HEAD~1", "--accept", "float64,\n for accuracy")
    assert (code, found["verdict"], verdicts(found)) == (0, "accepted", ["not slower", "accepted"])
    out = capsys.readouterr().out
    assert f"{NAME} has what is accepted of 1 benchmark\n" in out
    assert f"{NAME} is not committed as it stands, and only what is committed counts: commit it\n" in out
    assert "accepted: 1 of 2 benchmarks; not slower: 1" in out
    kept = Path(NAME).read_text()
    assert f'"{ID.format("training")}" = "1.150x, +15 operators"  # 100 us to 115 us; 1.150x, ' in kept
    assert 'reason = "float64, for accuracy"' in kept
    assert repository.git("rev-parse", "HEAD").strip() in kept

    assert compare("HEAD~1")[0] == 1
    assert f"{NAME} is not committed as it stands" in capsys.readouterr().out, "whoever forgot that is told"
    repository.commit("accept", {})
    code, found = compare("HEAD~2")
    assert (code, verdicts(found)) == (0, ["not slower", "accepted"])
    assert (
        f"accepted: {ID.format('training')}, 1.150x, +15 operators: float64, for accuracy ({NAME}, " in capsys.readouterr().out
    )
    entry = found["benchmarks"][1]["accepted"]
    assert (entry["ratio"], entry["more"], entry["needed"]) == (1.15, {"operators": 15}, True)
    assert entry["by"][0]["reason"] == "float64, for accuracy"
    assert found["benchmarks"][0]["accepted"] is None

    measured.ratios["training"] = 1.25
    code, found = compare("HEAD~2")
    assert (code, verdicts(found)) == (1, ["not slower", "slower"])
    code, _ = compare("HEAD~2", "--accept", "and a little more")
    assert code == 0
    assert '= "1.087x"' in Path(NAME).read_text(), "only what goes beyond what is accepted already"
    repository.commit("accept more", {})
    assert compare("HEAD~3")[0] == 0

    measured.ratios["training"] = 1.0
    measured.operators.clear()
    capsys.readouterr()
    code, found = compare("HEAD~3")
    assert (code, verdicts(found)) == (0, ["not slower", "not slower"])
    assert (
        capsys.readouterr().out.count("accepted, but no longer needed, as head is not slower than base; it can be removed") == 2
    )


def test_what_base_has_accepted_is_not_allowed_once_more(repository: Repository, measured: Measured) -> None:
    measured.ratios["training"] = 1.15
    assert compare("HEAD~1", "--accept", "meant")[0] == 0
    repository.commit("accept", {})
    repository.commit("slower again", {"pack/attention.py": f"{MODULE}# slower\n"})
    code, found = compare("HEAD~1")
    assert (code, verdicts(found)) == (1, ["not slower", "slower"])
    assert found["benchmarks"][1]["accepted"] is None


def test_a_line_in_a_message_does_the_same_for_its_commit(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    measured.ratios["training"] = 1.15
    repository.git("commit", "-q", "--amend", "-m", f"slow\n\nMhsa-accept: {ID.format('training')}: 1.15x: for accuracy")
    code, found = compare("HEAD~1")
    assert (code, verdicts(found)) == (0, ["not slower", "accepted"])
    assert "1.150x: for accuracy (the message of " in capsys.readouterr().out
    repository.commit("words", {"pack/attention.py": f"{MODULE}# other words\n"})
    assert compare("HEAD~1")[0] == 1, "and for no other"


def test_without_a_reason_nothing_is_accepted(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    for nothing in ([], [""], [" \n"]):
        words = refused(capsys, "HEAD~1", "--accept", *nothing)
        assert "--accept needs a reason, which stays in the repository: --accept" in words
    repository.git("commit", "-q", "--amend", "-m", "slow\n\nMhsa-accept: att *: 1.15x")
    assert "without a reason; write why behind it: Mhsa-accept: BENCHMARK: 1.15x: REASON" in refused(capsys, "HEAD~1")
    repository.commit("accept", {NAME: '[[accepted]]\nfigures = { a = "1.1x" }\n'})
    assert f"{NAME}: accepted slow-down 1 has no reason" in refused(capsys, "HEAD~1")
    assert measured.rounds == 0
    assert repository.worktrees() == []


def test_where_nothing_is_slower_nothing_is_written(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("HEAD~1", "--accept", "meant")[0] == 0
    assert "nothing was accepted: no benchmark is slower or costs more" in capsys.readouterr().out
    assert not Path(NAME).exists()


def test_a_file_that_git_ignores_is_told(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit("ignored", {".gitignore": "*.toml\n"})
    measured.ratios["training"] = 1.15
    assert compare("HEAD~2", "--accept", "meant")[0] == 0
    assert "commit it, although git ignores it: git add --force" in capsys.readouterr().out


def test_a_self_test_has_nothing_to_accept(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--self-test compares one with itself" in refused(capsys, "--self-test", "--accept", "meant")


def test_only_what_is_checked_out_can_be_accepted(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    words = refused(capsys, "HEAD~1", "HEAD~1", "--accept", "meant")
    assert "--accept is about the commit that is checked out, in whose files it is kept: leave HEAD out" in words


def test_a_benchmark_that_there_is_not_is_told(
    repository: Repository, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.git("commit", "-q", "--amend", "-m", "slow\n\nMhsa-accept: atention *: 1.15x: mistyped")
    compare("HEAD~1")
    assert "accepted of atention *, which was not measured: mistyped (the message of " in capsys.readouterr().out


def test_a_commit_that_only_accepts_is_the_same_code(repository: Repository, measured: Measured) -> None:
    repository.commit("accept", {NAME: f'[[accepted]]\nreason = "r"\nfigures = {{ "{ID.format("forward")}" = "1.1x" }}\n'})
    code, found = compare("HEAD~1")
    assert (code, [b["outcome"] for b in found["benchmarks"]], measured.rounds) == (0, ["same", "same"], 1)


def test_the_comment_is_written_and_the_summary_has_it_too(
    repository: Repository, measured: Measured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(Path("../summary.md").resolve()))
    measured.ratios["training"] = 1.15
    assert compare("HEAD~1", "--markdown", "../comment.md")[0] == 1
    written = Path("../comment.md").read_text()
    assert written.startswith(f"{MARKER}\n### ❌ mhsa compare: slower: 1 of 2 benchmarks; not slower: 1\n")
    assert f"Mhsa-accept: {ID.format('training')}: 1.150x: REASON" in written
    assert written in Path("../summary.md").read_text()
    assert "::error title=mhsa compare::slower: 1 of 2 benchmarks; not slower: 1\n" in capsys.readouterr().out
