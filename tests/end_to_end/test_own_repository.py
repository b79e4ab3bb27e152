"""A user's repository with a dozen commits: mhsa init, and then a line each for history, compare, pytest-benchmark and CI."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repository import MODULE, SCALE, Repository

MODULE_FILE, SCALE_FILE = "pack/attention.py", "pack/scale.py"
SLOW = MODULE.replace("        scores = (q", "        for _ in range(60):\n            q @ k.mT\n        scores = (q")
MEMORY = MODULE.replace("        return self.o", "        kept = [scores + n for n in range(8)]\n        return self.o")
WORDY = MODULE.replace("import math\n", '"""Attention."""\n\nimport math\n')
FEW = ["--shape", "exercise", "--pass", "forward", "--no-color"]
# What each commit is called, and what it changes; eleven of them come after the one that mhsa init is run on.
LATER = (
    ("mhsa init", {}),
    ("words", {"README.md": "words\n"}),
    ("wordy", {MODULE_FILE: WORDY}),
    ("slow", {MODULE_FILE: SLOW}),
    ("fast again", {MODULE_FILE: MODULE}),
    ("more words", {"README.md": "more words\n"}),
    ("memory", {MODULE_FILE: MEMORY}),
    ("no memory", {MODULE_FILE: MODULE}),
    ("wrong", {SCALE_FILE: SCALE.replace("math.sqrt(d_k)", "d_k")}),
    ("right again", {SCALE_FILE: SCALE}),
    ("last words", {"README.md": "last words\n"}),
)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "PYTEST_"))} | {"COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("own") / "project"
    folder.mkdir()
    repository = Repository(folder, configured=False)
    done = run(folder, "mhsa", "init", "--ci", "--bench", "pack.attention:Attention")
    assert done.returncode == 0, done.stderr
    for message, files in LATER:
        repository.commit(message, files)
    return repository


def commits(repository: Repository) -> dict[str, str]:
    return {line[41:]: line[:40] for line in repository.git("log", "--format=%H %s").splitlines()}


def test_the_history_tells_each_commit_in_the_right_words(repository: Repository) -> None:
    names = commits(repository)
    assert len(names) == 12
    done = run(repository.folder, "mhsa", "history", *FEW)
    assert done.returncode == 0, done.stdout + done.stderr

    def told(what: str, message: str) -> str:
        """Return the line that says so of a commit."""
        (line,) = [x for x in done.stdout.splitlines() if x.strip().startswith(f"{what}: ") and f"'{message}'" in x]
        assert names[message][:7] in line
        return line

    told("slower", "slow")
    told("faster", "fast again")
    told("more operators", "slow")
    told("more memory", "memory")
    told("wrong", "wrong")
    # Chance may make a step of the ratio somewhere in one history of a hundred, but nothing of what is counted.
    blamed = set(re.findall(r"(?m)^ *(?:more \w+|wrong): .*'(.*?)'", done.stdout))
    assert blamed == {"slow", "memory", "wrong"}, "commits of documents and of other words are blamed for nothing"
    assert (repository.folder / ".asv/html/index.html").is_file()
    assert repository.worktrees() == []


@pytest.mark.parametrize(
    ("message", "code", "verdicts", "words"),
    [
        ("words", 0, {"not slower"}, ""),
        ("wordy", 0, {"not slower"}, ""),
        ("slow", 1, {"slower", "costs more"}, "more operators"),
        ("memory", 1, {"slower", "costs more"}, "more memory"),
        ("wrong", 1, {"wrong"}, "head: "),
    ],
)
def test_the_gate_tells_each_commit_in_the_right_words(
    repository: Repository, tmp_path: Path, message: str, code: int, verdicts: set[str], words: str
) -> None:
    sha = commits(repository)[message]
    # Far from what chance gives where nothing changed, so that this test does not fail by chance.
    terms = ["--threshold", "50", "--budget", "1", "--no-verify", "--json", str(tmp_path / "out.json")]
    done = run(repository.folder, "mhsa", "compare", f"{sha}~1", sha, *FEW, *terms)
    found = json.loads((tmp_path / "out.json").read_text())
    assert (done.returncode, found["verdict"] in verdicts) == (code, True), done.stdout + done.stderr
    assert words in found["benchmarks"][0]["words"]
    assert repository.worktrees() == []


def test_the_desk_times_the_module_without_a_benchmark_of_the_users(repository: Repository) -> None:
    done = run(repository.folder, "pytest", "benchmarks", "--benchmark-only", "-q", "--attention-shape", "exercise")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Attention" in done.stdout


def test_the_job_in_ci_is_the_same_line(repository: Repository) -> None:
    workflow = (repository.folder / ".github/workflows/attention.yml").read_text()
    (line,) = re.findall(r"run: mhsa (compare .*)", workflow)
    words = shlex.split(line.replace("$RUNNER_TEMP", str(repository.folder.parent)))  # as the shell of the job does
    done = run(repository.folder, "mhsa", *words, *FEW, "--no-verify", "--budget", "1")
    assert done.returncode == 0, "the last commit has changed documents only: " + done.stdout + done.stderr
