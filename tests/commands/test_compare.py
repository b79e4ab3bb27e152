"""mhsa compare: each commit is described in the right words, and nothing is left of it in the repository."""

import errno
import json
import os
from pathlib import Path

import pytest

from mhsa.bench.compare.comparison import Comparison, Increase, exit_code, increases_of, overall
from mhsa.bench.compare.report import remarks
from mhsa.bench.compare.sequential_test import Decision
from mhsa.commands.cli import main
from tests.helpers.repository import MEMORY, MODULE, SCALE, Repository

SLOWER = MODULE.replace("        scores = (q", "        for _ in range(30):\n            q @ k.mT\n        scores = (q")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    return Repository(tmp_path)


def compare(*arguments: str) -> tuple[int, dict]:
    """Compare by one small benchmark in the fewest processes; return the exit code and what was written."""
    few = ["--shape", "exercise", "--pass", "forward", "--no-verify", "--budget", "1", "--json", "../out.json", "--no-color"]
    code = main(["compare", *arguments, *few])
    return code, json.loads(Path("../out.json").read_text())


def test_a_commit_that_touches_documents_only(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("words", {"README.md": "words\n"})
    code, found = compare(
        "HEAD~1", "--threshold", "50"
    )  # far from what chance gives, so that this test does not fail by chance
    (benchmark,) = found["benchmarks"]
    assert (code, found["verdict"], benchmark["increases"]) == (0, "not slower", [])
    assert "not slower: 1 of 1 benchmarks" in capsys.readouterr().out
    assert repository.worktrees() == []


def test_a_slower_commit_with_more_operators(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("slow", {"pack/attention.py": SLOWER})
    code, found = compare("HEAD~1", "--html", "../out.html")
    (benchmark,) = found["benchmarks"]
    assert code == 1
    assert benchmark["decision"]["ratio"] > 1.5
    assert benchmark["verdict"] in ("slower", "costs more")  # four processes may leave the time undecided, never the operators
    out = capsys.readouterr().out
    assert "more operators" in out
    first = benchmark["attribution"]["lines"][0]
    assert (first["file"], first["text"], first["changed"]) == ("pack/attention.py", "q @ k.mT", True)
    assert "pack/attention.py:23  q @ k.mT" in out
    assert "<svg" in Path("../out.html").read_text()
    assert repository.worktrees() == []


def test_more_memory_is_told_exactly(repository: Repository) -> None:
    repository.commit("memory", {"pack/attention.py": MEMORY})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert code == 1
    assert benchmark["attribution"]["lines"][0]["text"] == "kept = [scores + n for n in range(8)]"
    more = {i["what"]: (i["base"], i["head"]) for i in benchmark["increases"]}
    assert more["operators"][1] - more["operators"][0] == 8
    assert more["peak"][1] > 1.5 * more["peak"][0]


def test_a_wrong_commit_is_wrong_and_not_timed(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("wrong", {"pack/scale.py": SCALE.replace("math.sqrt(d_k)", "d_k")})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], benchmark["decision"]) == (1, "wrong", None)
    assert "head: output" in capsys.readouterr().out
    code, found = compare("HEAD", "HEAD~1")
    assert (code, found["benchmarks"][0]["verdict"]) == (2, "n/a"), "a wrong base has no time to compare with"


MEMO = MODULE.replace(
    "    def forward(",
    """    last = (None, None)

    def forward(self, query, key, value, mask=None):
        if torch.is_grad_enabled() or mask is not None:
            return self.compute(query, key, value, mask)
        state = [(t.data_ptr(), t._version, t.shape) for t in (query, key, value, *self.parameters())]
        if self.last[0] != state:
            self.last = state, self.compute(query, key, value)
        return self.last[1].clone()

    def compute(""",
)


@pytest.mark.parametrize("apart", [False, True])
def test_a_head_that_keeps_its_answers_is_suspect(
    repository: Repository, capsys: pytest.CaptureFixture[str], apart: bool
) -> None:
    repository.commit("memo", {"pack/attention.py": MEMO})
    code, found = compare("HEAD~1", *(["--apart"] if apart else []))
    (benchmark,) = found["benchmarks"]
    assert (code, found["verdict"], benchmark["verdict"], benchmark["decision"]) == (1, "suspect", "suspect", None)
    assert list(benchmark["reasons"]) == ["head"]
    assert "head: it keeps its answers" in capsys.readouterr().out
    code, found = compare("HEAD", "HEAD~1", *(["--apart"] if apart else []))
    assert (code, found["benchmarks"][0]["verdict"]) == (2, "n/a"), "a suspect base has no time to compare with"


def test_what_is_wrong_at_both_did_not_begin_with_head(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("wrong", {"pack/scale.py": SCALE.replace("math.sqrt(d_k)", "d_k")})
    repository.commit("words", {"pack/attention.py": f"{MODULE}# words\n"})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], list(benchmark["reasons"])) == (1, "wrong", ["base", "head"])
    assert "is wrong at base, too, so that did not begin with head" in capsys.readouterr().out
    compare("HEAD~2")
    assert "wrong at base, too" not in capsys.readouterr().out


def test_both_are_verified_first(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("wrong", {"pack/attention.py": MODULE.replace("~mask", "mask")})  # no benchmark has a mask
    code = main(["compare", "HEAD~1", "--shape", "exercise", "--pass", "forward", "--no-color"])
    out = capsys.readouterr().out
    assert code == 1, out
    assert "head: wrong: " in out
    assert "wrong: 1 of 1 benchmarks" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["main", "-k", "nothing"], "no benchmark has 'nothing' in its name; there are: att forward exercise float32"),
        (["main", "--shape", "excercise"], "did you mean 'exercise'?"),
        (["main", "--json", "nowhere/x.json"], "there is no folder"),
        (["--self-test", "--html", "x.html"], "--html shows a comparison"),
    ],
)
def test_bad_usage(repository: Repository, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert repository.worktrees() == []


def test_a_dirty_tree_is_no_commit(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (repository.folder / "pack" / "scale.py").write_text("changed\n")
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "HEAD~1"])
    assert stopped.value.code == 2
    assert "uncommitted changes in pack/scale.py: commits are compared, so commit them, or name HEAD" in capsys.readouterr().err


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "main"])
    assert stopped.value.code == 2
    assert "repository" in capsys.readouterr().err


def test_a_subject_that_is_not_there_at_base(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = compare("HEAD~1")  # where there is a configuration, and no module yet
    assert (code, found["benchmarks"][0]["verdict"]) == (2, "n/a")
    assert "base: import of pack.attention" in capsys.readouterr().out
    assert repository.worktrees() == []


def test_a_subject_that_fails_when_it_is_called_at_base(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    broken = MODULE.replace("        scores = (q", "        raise RuntimeError('no kernel for this')\n        scores = (q")
    repository.commit("broken", {"pack/attention.py": broken})
    repository.commit("mended", {"pack/attention.py": MODULE})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], list(benchmark["reasons"])) == (2, "n/a", ["base"])
    assert "no kernel for this" in benchmark["reasons"]["base"]
    assert repository.worktrees() == []


def test_a_full_disk_is_told_as_such(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/mhsa-x/plan.json")

    monkeypatch.setattr("mhsa.bench.compare.shared_process.run_worker", full)
    Path("../out.json").write_text("of an earlier run")
    assert main(["compare", "HEAD", "HEAD", "--no-verify", "--json", "../out.json"]) == 2
    words = "mhsa: no room left for /tmp/mhsa-x/plan.json, so nothing was concluded; free some, or point TMPDIR to another disk"
    assert words in capsys.readouterr().err
    assert Path("../out.json").read_text() == "of an earlier run"
    assert repository.worktrees() == []


SLOW, SAME, UNSURE = (
    Decision(v, r, r - 0.01, r + 0.01, 4) for v, r in (("slower", 1.2), ("not slower", 1.0), ("cannot tell", 1.02))
)


@pytest.mark.parametrize(
    ("comparisons", "verdict", "code"),
    [
        ([Comparison("a", SAME), Comparison("b", SAME)], "not slower", 0),
        ([Comparison("a", SAME), Comparison("b", SLOW)], "slower", 1),
        ([Comparison("a", UNSURE), Comparison("b", SAME)], "cannot tell", 2),
        ([Comparison("a", UNSURE), Comparison("b", SAME, increases=(Increase("peak", 1, 2),))], "costs more", 1),
        ([Comparison("a", SLOW), Comparison("b", outcome="wrong", reasons={"head": "x"})], "wrong", 1),
        ([Comparison("a", SAME), Comparison("b", outcome="wrong", reasons={"base": "x"})], "n/a", 2),
        ([], "n/a", 2),
    ],
)
def test_the_worst_counts(comparisons: list[Comparison], verdict: str, code: int) -> None:
    assert (overall(comparisons), exit_code(comparisons)) == (verdict, code)
    assert exit_code(comparisons, allow_undecided=True) == (0 if verdict == "cannot tell" else code)


def test_a_shape_that_is_named_twice_is_compared_once(repository: Repository) -> None:
    code, found = compare("HEAD", "HEAD", "--shape", "exercise")
    assert (code, len(found["benchmarks"])) == (0, 1)


def test_only_more_is_an_increase_and_nothing_unknown() -> None:
    base = {"peak": 100, "operators": 5, "flops": None, "allocated": 7}
    head = {"peak": 200, "operators": 4, "flops": 9, "allocated": 7}
    assert [str(i) for i in increases_of({"base": base, "head": head})] == ["more memory (100 to 200, 2.00x)"]
    assert increases_of({}) == ()


def test_what_many_rows_have_in_common_is_said_once() -> None:
    rows = [Comparison(name, outcome="wrong", reasons={"head": "x"}) for name in "ab"]
    assert remarks([*rows, Comparison("c", outcome="wrong", reasons={"head": "y"}), Comparison("d", SAME)]) == [
        "2 benchmarks: head: x", "c: head: y",
    ]  # fmt: skip
