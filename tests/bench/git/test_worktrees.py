"""Commits as folders: the right files, nothing of the user's touched, and nothing left, whatever ends the run."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mhsa.bench.git.worktrees
from mhsa.bench.git.git import GitError
from mhsa.bench.git.worktrees import Trees
from tests.helpers.places import ROOT

WHO = ("-c", "user.email=a@b.c", "-c", "user.name=A", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always")
HOOKS = ("post-checkout", "post-index-change", "reference-transaction")


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No settings of whoever runs this, and a temporary folder in which nothing but this test's is left."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *WHO, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def commit(repository: Path, **files: str) -> str:
    for name, text in files.items():
        path = repository / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def shas(tmp_path) -> list[str]:
    repository = tmp_path / "attn"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(repository))
    return [commit(repository, a=f"version {n}", libs__core__b=f"b {n}") for n in range(4)]


@pytest.fixture
def repository(tmp_path, shas) -> Path:
    return tmp_path / "attn"


@pytest.fixture
def snapshot(tmp_path, repository) -> Callable[[], object]:
    """What is to be the same before and after: each byte of .git, the working tree, what git says of it, and its neighbours."""

    def take() -> object:
        files = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in repository.rglob("*") if p.is_file()}
        asked = ("status --porcelain", "rev-parse HEAD", "worktree list", "branch --list", "stash list")
        told = [git(repository, "--no-optional-locks", *arguments.split()) for arguments in asked]
        return files, told, sorted((tmp_path / "tmp").iterdir()), sorted((repository / ".git").rglob("*"))

    return take


def test_a_commit_lies_in_a_folder_of_its_own_and_the_users_is_untouched(tmp_path, repository, shas, snapshot):
    (repository / "a").write_text("being edited")
    (repository / "new").write_text("x")
    git(repository, "add", "new")
    os.utime(repository / "libs/core/b", (1, 1))  # the index is out of date: a plain `git status` would write it anew
    before = snapshot()
    with Trees(repository) as trees:
        assert trees.changes() == ["a", "new"]
        old, new = (trees.check_out(trees.commit(name)) for name in ("HEAD~2", "main"))
        assert (old / "a").read_text() == "version 1"
        assert (new / "a").read_text() == "version 3"
        assert git(old, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
        assert old.name == new.name == "attn"  # a package whose files lie in the root is named after it
        assert not old.is_relative_to(repository)
        assert old.is_relative_to(tmp_path / "tmp")
        assert trees.check_out(shas[1]) == old
        assert not trees.notes
    assert snapshot() == before


def test_what_has_not_changed_is_not_told(repository):
    (repository / "untracked").write_text("x")
    trees = Trees(repository)
    assert trees.changes() == []
    (repository / "libs/core/b").unlink()
    git(repository, "mv", "a", "c d")
    assert trees.changes() == ["a", "c d", "libs/core/b"]


def test_a_project_in_a_subfolder(repository, shas):
    for start in (repository / "libs/core", repository / "libs/core/b"):
        with Trees(start) as trees:
            assert trees.root == repository
            assert trees.subfolder == Path("libs/core")
            assert (trees.check_out(shas[0]) / trees.subfolder / "b").read_text() == "b 0"


def test_a_range_is_of_first_parents_and_the_oldest_comes_first(repository, shas):
    git(repository, "checkout", "--quiet", "-b", "side", shas[2])
    aside = commit(repository, c="x")
    git(repository, "checkout", "--quiet", "main")
    git(repository, "merge", "--quiet", "--no-ff", "side", "-m", "m")
    git(repository, "tag", "v1", shas[0])
    merge = git(repository, "rev-parse", "HEAD")
    trees = Trees(repository)
    assert trees.range("v1..") == [*shas[1:], merge]
    assert trees.range("HEAD~2..HEAD") == [shas[3], merge]
    assert trees.range("v1..side") == [*shas[1:3], aside]
    assert trees.range("v1") == [shas[0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HEAD..HEAD~2", "HEAD~2 is the older one, write HEAD~2..HEAD"),
        ("..HEAD~2", "write HEAD~2..HEAD"),
        ("HEAD..", "both ends are the same commit"),
        ("HEAD~2...HEAD", "write two: HEAD~2..HEAD"),
        ("HEAD~2..mian", "did you mean main?"),
    ],
)
def test_a_range_that_holds_nothing(repository, text, words):
    with pytest.raises(GitError) as caught:
        Trees(repository).range(text)
    assert words in str(caught.value)


def test_a_name_that_is_none(repository, shas):
    git(repository, "branch", "flash-attention")
    git(repository, "update-ref", "refs/remotes/origin/develop", shas[0])
    trees = Trees(repository)
    for name, words in (
        ("flash-atention", "did you mean flash-attention?"),
        ("develop", "did you mean origin/develop?"),
        ("xyzzy", "see git branch --all"),
        ("--help", "names no commit"),
        ("", "names no commit"),
        ("HEAD~1..HEAD", "is a range"),
        ("HEAD:a", "is not a commit"),
        ("HEAD~9", "is not a commit"),
        ("0" * 40, "is not a commit"),
    ):
        with pytest.raises(GitError) as caught:
            trees.commit(name)
        assert words in str(caught.value)
    assert trees.commit(shas[1][:9]) == shas[1]
    assert trees.commit(":/x") == shas[3]


def test_a_shallow_clone_says_how_to_deepen_it(tmp_path, repository, shas):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=2", f"file://{repository}", str(clone))
    trees = Trees(clone)
    assert trees.range("HEAD~1..HEAD") == [shas[3]]
    for ask in (lambda: trees.commit("HEAD~2"), lambda: trees.commit("v1"), lambda: trees.range("HEAD~3..HEAD")):
        with pytest.raises(GitError, match="git fetch --unshallow, or fetch-depth: 0"):
            ask()
    # Another branch, fetched alone: the range's ends are there, and what lies between is cut off.
    git(repository, "branch", "old", shas[0])
    git(clone, "fetch", "--quiet", "--depth=1", "origin", "old")
    with pytest.raises(GitError, match="goes back further than this clone; this is a shallow clone"):
        trees.range("FETCH_HEAD..HEAD")


def test_where_there_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(GitError, match="plain is not in a git repository; go to one"):
        Trees(tmp_path / "plain")
    with pytest.raises(GitError, match=r"there is no .*nowhere"):
        Trees(tmp_path / "nowhere")
    git(tmp_path, "init", "--quiet", "--bare", "bare")
    with pytest.raises(GitError, match="bare repository"):
        Trees(tmp_path / "bare")
    git(tmp_path, "init", "--quiet", "empty")
    with pytest.raises(GitError, match="no commits yet"):
        Trees(tmp_path / "empty").commit("HEAD")


def test_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match="git is not found; install it"):
        Trees(repository)


def test_no_hook_runs_and_a_hook_that_calls_us_lends_no_index(repository, shas, snapshot, tmp_path, monkeypatch):
    for hook in HOOKS:
        path = repository / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/{hook}\n")
        path.chmod(0o755)
    git(repository, "config", "core.fsmonitor", f"touch {tmp_path}/monitor; false")
    before = snapshot()
    for hook in (*HOOKS, "monitor"):
        (tmp_path / hook).unlink(missing_ok=True)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    with Trees(repository) as trees:
        assert (trees.check_out(shas[0]) / "a").read_text() == "version 0"
        assert trees.changes() == []
    assert not any((tmp_path / name).exists() for name in (*HOOKS, "monitor", "index", "other"))
    monkeypatch.undo()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert snapshot() == before


def test_submodules_and_large_files_are_told_of(tmp_path, repository):
    git(tmp_path, "init", "--quiet", "part")
    commit(tmp_path / "part", p="x")
    git(repository, "submodule", "--quiet", "add", str(tmp_path / "part"), "part")
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    sha = commit(repository)
    with Trees(repository) as trees:
        folder = trees.check_out(sha)
        assert list((folder / "part").iterdir()) == []
        assert [note.partition(" ")[0] for note in trees.notes] == ["submodules", "files"]
        trees.check_out(commit(repository, a="y"))
        assert len(trees.notes) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_nothing_is_left_after_an_exception(repository, shas, snapshot, error):
    before = snapshot()

    def run() -> None:
        with Trees(repository) as trees:
            for sha in shas:
                (trees.check_out(sha) / "made").mkdir()
            (trees.check_out(shas[0]) / ".git").unlink()  # a subject may do anything in its folder
            raise error

    with pytest.raises(error):
        run()
    assert snapshot() == before


def test_an_interruption_while_git_works_leaves_nothing(repository, shas, snapshot, tmp_path):
    slow = tmp_path / "slow.sh"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/started; cat; sleep 30\n")
    slow.chmod(0o755)
    git(repository, "config", "filter.slow.smudge", str(slow))
    sha = commit(repository, a="late", **{".gitattributes": "a filter=slow\n"})
    (tmp_path / "started").unlink(missing_ok=True)
    before = snapshot()
    program = f"""
        import signal
        from pathlib import Path
        from mhsa.bench.git.worktrees import Trees
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it
        with Trees(Path({str(repository)!r})) as trees:
            trees.check_out({sha!r})
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    _wait_for(tmp_path / "started")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert time.monotonic() - began < 20
    assert snapshot() == before


def test_what_a_killed_run_left_is_removed_by_the_next(repository, shas, snapshot, tmp_path):
    before = snapshot()
    program = f"""
        import os, signal
        from pathlib import Path
        from mhsa.bench.git.worktrees import Trees
        with Trees(Path({str(repository)!r})) as trees:
            for sha in {shas!r}:
                trees.check_out(sha)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    for _ in range(2):
        assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == -signal.SIGKILL
        # The second time, the first one's are gone: only as many as one run makes.
        assert len(git(repository, "worktree", "list").splitlines()) == 1 + len(shas)
    with Trees(repository) as trees:
        assert len(git(repository, "worktree", "list").splitlines()) == 1
        trees.check_out(shas[0])
    assert snapshot() == before


def test_what_was_left_is_removed_even_if_its_folder_is_gone_or_another_repositorys(repository, shas, snapshot, tmp_path):
    other = tmp_path / "other"
    git(tmp_path, "init", "--quiet", str(other))
    commit(other, x="x")
    before = snapshot()
    mine, theirs = (_left_by(_dead(), tmp_path / "tmp", where) for where in (repository, other))
    subprocess.run(["rm", "-r", str(mine)], check=True)  # a temporary folder is emptied now and then
    assert len(git(other, "worktree", "list").splitlines()) == 2
    with Trees(repository):
        pass
    assert snapshot() == before
    assert not theirs.exists()
    assert len(git(other, "worktree", "list").splitlines()) == 1


def test_worktrees_of_others_stay(repository, shas, tmp_path):
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "users"), shas[0])
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "unplugged"), shas[0])
    (tmp_path / "unplugged").rename(tmp_path / "drawer")
    living = _left_by(os.getppid(), tmp_path / "tmp", repository)
    elsewhere = _left_by(_dead(), tmp_path / "tmp", repository, place="0" * 8)  # a container's: its processes are not ours
    before = git(repository, "worktree", "list")
    with Trees(repository) as trees:
        trees.check_out(shas[0])
    assert git(repository, "worktree", "list") == before
    assert before.count("\n") == 4
    assert living.exists()
    assert elsewhere.exists()


def test_two_runs_at_once(repository, shas, snapshot):
    before = snapshot()
    with Trees(repository) as one, Trees(repository) as other:
        first, second = one.check_out(shas[0]), other.check_out(shas[0])
        assert first != second
        other.__exit__()
        assert (first / "a").read_text() == "version 0"
    assert snapshot() == before


@pytest.mark.parametrize(("said", "words"), [("No space left on device", "no room in .*tmp; free some"), ("odd", "out: odd")])
def test_a_full_disk_leaves_nothing(repository, shas, snapshot, tmp_path, monkeypatch, said, words):
    before = snapshot()
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()
    fails = f'case "$*" in *"worktree add"*) echo "fatal: {said}" >&2; exit 128;; esac'
    fake.write_text(f'#!/bin/sh\n{real} "$@" || exit\n{fails}\n')
    fake.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{fake.parent}:{path}")
    with Trees(repository) as trees:
        with pytest.raises(GitError, match=words):
            trees.check_out(shas[0])
        assert len(git(repository, "worktree", "list").splitlines()) == 1
        assert not [p for p in (tmp_path / "tmp").rglob("*") if p.is_file()]
        monkeypatch.setenv("PATH", path)
        assert (trees.check_out(shas[0]) / "a").read_text() == "version 0"  # there is room again
    assert snapshot() == before


def test_a_temporary_folder_in_the_repository_is_not_used(repository, shas, monkeypatch):
    (repository / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(repository / "tmp"))
    with Trees(repository) as trees:
        assert not trees.check_out(shas[0]).is_relative_to(repository)


def test_a_temporary_folder_that_cannot_be_written(repository, shas, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(mhsa.bench.git.worktrees, "_outside", lambda _: tmp_path / "file")
    with Trees(repository) as trees, pytest.raises(GitError, match="cannot be made: Not a directory; point TMPDIR"):
        trees.check_out(shas[0])


def test_a_folder_that_nobody_would_remove_is_not_made(repository, shas):
    with pytest.raises(RuntimeError, match="outside of `with"):
        Trees(repository).check_out(shas[0])


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path}")


def _dead() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def _left_by(pid: int, folder: Path, repository: Path, place: str = "") -> Path:
    """What a run of that process would have left."""
    holder = folder / f"mhsa-tree-{pid}-{place or mhsa.bench.git.worktrees._place()}-{repository.name.encode().hex()}"
    git(repository, "worktree", "add", "--quiet", "--detach", "--lock", str(holder / "0123" / repository.name), "HEAD")
    return holder


def test_one_folder_may_go_before_the_others(repository, shas):
    with Trees(repository) as trees:
        first, second = (trees.check_out(sha) for sha in shas[:2])
        trees.remove(shas[0])
        assert not first.parent.exists()
        assert (second / "a").read_text() == "version 1"
        assert len(git(repository, "worktree", "list").splitlines()) == 2
        trees.remove(shas[0])  # it is gone already
        assert (trees.check_out(shas[0]) / "a").read_text() == "version 0"
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_the_newest_commits_and_what_is_told_of_them(tmp_path, repository, shas):
    trees = Trees(repository)
    assert trees.newest(2) == shas[2:]
    assert trees.newest(20) == shas
    assert trees.notes == []
    told = trees.described([shas[3], shas[0]])
    assert [(c.sha, c.message) for c in told] == [(shas[3], "x"), (shas[0], "x")]
    assert told[0].date == int(git(repository, "log", "-1", "--format=%ct"))
    git(tmp_path, "clone", "--quiet", "--depth=2", f"file://{repository}", str(tmp_path / "shallow"))
    trees = Trees(tmp_path / "shallow")
    assert trees.newest(2) == shas[2:]
    assert trees.newest(20) == shas[2:]
    assert "there are 2 commits here, not 20: this is a shallow clone" in trees.notes[0]
