"""Commits of the user's repository as folders: checked out beside it, so that nothing of the user's own is touched."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_PREFIX = "mhsa-tree-"
_HOLDER = re.compile(rf"{_PREFIX}(\d+)-([0-9a-f]{{8}})-[0-9a-f]+")  # the process that made it, and where that runs
_SHALLOW = "this is a shallow clone: git fetch --unshallow, or fetch-depth: 0 in GitHub's checkout"
_FORGET = ("worktree", "remove", "--force", "--force")  # twice: one that was never finished is locked
# No hook of the user's runs, no daemon is started, and nothing is tidied up on the way.
_SETTINGS = (f"core.hooksPath={os.devnull}", "core.fsmonitor=", "gc.auto=0", "maintenance.auto=false")


class GitError(Exception):
    """What was asked of git cannot be had: what was given, what is wrong and what to do."""


class Commit(NamedTuple):
    """What is told of a commit: its name, when it was committed (seconds since 1970), and the first line of its message."""

    sha: str
    date: int
    message: str


class Place(NamedTuple):
    """A commit's ``folder``, that of the project, in a worktree ``tree`` that stands for the user's ``original``."""

    folder: str
    tree: str
    original: str


class Trees:
    """The commits of a repository; with ``with``, also as folders, which are gone at the end.

    What an earlier run left because it was killed goes, too. Other worktrees stay, also those whose folders are missing (on
    a disk that is not there, say), which ``git worktree prune`` would forget.

    Args:
        start: a folder or a file somewhere in the repository.

    Attributes:
        root: the repository's working tree.
        subfolder: where ``start`` lies in it; it is looked for at the same place of a commit's folder.
        notes: what is not as in the user's own working tree: for example, submodules that are empty.

    Raises:
        GitError: there is no repository, or no git; and from each method, what cannot be had.
    """

    def __init__(self, start: Path) -> None:
        if not start.exists():
            raise GitError(f"there is no {start}; give a folder of a git repository")
        folder = (start if start.is_dir() else start.parent).resolve()
        found = _run(folder, "rev-parse", "--show-toplevel")
        if found.returncode:
            raise GitError(_no_repository(folder, _words(found)))
        self.root = Path(found.stdout.removesuffix("\n")).resolve()
        self.subfolder = folder.relative_to(self.root)
        self.notes: list[str] = []
        self._pid = os.getpid()
        self._holder: Path | None = None
        self._folders: dict[str, Path] = {}

    def __enter__(self) -> Trees:
        # Named before it is made: an interruption in between leaves nothing that is not known.
        self._holder = _outside(self.root) / f"{_PREFIX}{self._pid}-{_place()}-{secrets.token_hex(4)}"
        self._sweep(self._holder.parent)
        return self

    def __exit__(self, *_: object) -> None:
        holder, self._holder = self._holder, None
        if holder is None or os.getpid() != self._pid:  # a forked child: the folders are its parent's
            return
        self._folders.clear()
        try:
            self._remove(holder)
        except KeyboardInterrupt:  # the impatient second one
            self._remove(holder)
            raise
        self._sweep(holder.parent)

    def commit(self, name: str) -> str:
        """Return the full name of the commit that a branch, a tag, ``HEAD~3`` and the like stand for."""
        if not name.strip() or name.startswith("-"):
            raise GitError(f"{name!r} names no commit; give a branch, a tag, a commit, or something like HEAD~3")
        found = _run(self.root, "rev-parse", "--verify", name)
        peeled = found if found.returncode else _run(self.root, "rev-parse", "--verify", found.stdout.strip() + "^{commit}")
        if not peeled.returncode:
            return peeled.stdout.strip()
        raise GitError(self._no_commit(name, found))

    def _no_commit(self, name: str, found: subprocess.CompletedProcess[str]) -> str:
        if "ambiguous" in found.stderr:
            return f"{name!r} is how several commits begin; write more of it"
        if ".." in name:
            return f"{name!r} is a range; give one commit"
        if _run(self.root, "rev-parse", "--verify", "HEAD").returncode:
            return f"{self.root} has no commits yet; commit what is to be compared first"
        if _run(self.root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            return f"{name!r} is not there; {_SHALLOW}"
        listed = _run(self.root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
        names = listed.stdout.split()
        near = [n for n in names if n.endswith(f"/{name}")] or difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see git branch --all, git tag and git log"
        return f"{name!r} is no commit of {self.root}; {hint}"

    def range(self, text: str) -> list[str]:
        """Return the commits of a range (``HEAD~3..HEAD``, ``v1..``) or the one that is named, oldest first.

        Of a merge, its first parent counts: what was merged came in with it, as one step.
        """
        if "..." in text:
            raise GitError(f"{text!r} has three dots; write two: {text.replace('...', '..')}")
        if ".." not in text:
            return [self.commit(text)]
        begin, _, end = text.partition("..")
        older, newer = self.commit(begin or "HEAD"), self.commit(end or "HEAD")
        found = self._output("rev-list", "--first-parent", "--reverse", f"{older}..{newer}").split()
        if not found:
            turned = f"{end or 'HEAD'} is the older one, write {end or 'HEAD'}..{begin or 'HEAD'}"
            raise GitError(f"{text!r} holds no commits: {turned if older != newer else 'both ends are the same commit'}")
        cut = self.root / self._output("rev-parse", "--git-path", "shallow").removesuffix("\n")
        if cut.is_file() and found[0] in cut.read_text().split():
            raise GitError(f"{text!r} goes back further than this clone; {_SHALLOW}")
        return found

    def newest(self, most: int) -> list[str]:
        """Return the newest commits up to HEAD, oldest first, by first parents; fewer if there are no more, here at least."""
        last = self.commit("HEAD")
        found = self._output("rev-list", "--first-parent", "--reverse", f"--max-count={most}", last).split()
        cut = self.root / self._output("rev-parse", "--git-path", "shallow").removesuffix("\n")
        if len(found) < most and cut.is_file():
            self.notes.append(f"there are {len(found)} commits here, not {most}: {_SHALLOW}")
        return found

    def told(self, shas: Sequence[str]) -> list[Commit]:
        """Return when each of some commits was made, and its message."""
        lines = self._output("log", "--no-walk=unsorted", "--format=%H%x00%ct%x00%s", *shas, "--").split("\n")
        parts = [line.split("\0", 2) for line in lines if line]
        found = {sha: Commit(sha, int(date), message) for sha, date, message in parts}
        return [found[sha] for sha in shas]

    def changes(self) -> list[str]:
        """Return the files under version control that differ from HEAD; paths are relative to the root."""
        arguments = ("--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
        return [entry[3:] for entry in self._output("status", "--porcelain=v1", "-z", *arguments).split("\0") if entry]

    def place(self, sha: str) -> Place:
        """Check a commit out, and return where it lies."""
        tree = self.check_out(sha)
        return Place(str(tree / self.subfolder), str(tree), str(self.root))

    def check_out(self, sha: str) -> Path:
        """Return the folder that holds the files of a commit; it is the same one each time."""
        if self._holder is None:
            raise RuntimeError("check_out outside of `with Trees(...)`: nobody would remove what it makes")
        if sha in self._folders:
            return self._folders[sha]
        folder = self._holder / sha[:16] / (self.root.name or "tree")  # its name may be that of the package
        try:
            self._holder.mkdir(mode=0o700, exist_ok=True)
            folder.parent.mkdir()
        except OSError as error:
            raise GitError(f"{folder.parent} cannot be made: {error.strerror}; point TMPDIR to a folder that can") from None
        added = _run(self.root, "worktree", "add", "--quiet", "--detach", str(folder), sha)
        if added.returncode:
            self._remove(folder.parent)
            words = _words(added)
            if "No space left" in added.stderr or "quota exceeded" in added.stderr:
                words = f"no room in {self._holder.parent}; free some, or point TMPDIR to a folder on another disk"
            raise GitError(f"{sha[:12]} cannot be checked out: {words}")
        self._folders[sha] = folder
        for file, sign, note in (
            (".gitmodules", "path", "submodules are not checked out: what is imported from them is missing"),
            (".gitattributes", "filter=lfs", "files in Git LFS are pointers only, unless GIT_LFS_SKIP_SMUDGE=0 is set"),
        ):
            path = folder / file
            if note not in self.notes and path.is_file() and sign in path.read_text(errors="replace"):
                self.notes.append(note)
        return folder

    def remove(self, sha: str) -> None:
        """Remove the folder of a commit; hundreds of them would fill a disk."""
        folder = self._folders.pop(sha, None)
        if folder is not None:
            self._remove(folder.parent)

    def _output(self, *arguments: str) -> str:
        result = _run(self.root, *arguments)
        if result.returncode:
            raise GitError(f"git {arguments[0]} failed in {self.root}: {_words(result)}")
        return result.stdout

    def _listed(self) -> list[Path]:
        return [Path(p) for p in re.findall("^worktree (.*)$", _run(self.root, "worktree", "list", "--porcelain").stdout, re.M)]

    def _remove(self, holder: Path) -> None:
        """Remove a folder and the worktrees in it; git forgets also those whose folder is gone already."""
        for link in (*holder.glob("*/*/.git"), *holder.glob("*/.git")):  # of a killed run, perhaps that of another repository
            common = _run(link.parent, "rev-parse", "--git-common-dir")
            if not common.returncode:
                _run(link.parent / common.stdout.removesuffix("\n"), *_FORGET, str(link.parent))
        shutil.rmtree(holder, ignore_errors=True)
        for folder in self._listed():
            if holder in folder.parents:
                _run(self.root, *_FORGET, str(folder))

    def _sweep(self, temporary: Path) -> None:
        """Remove what killed runs left, of this repository and of others."""
        left = {parent for folder in self._listed() for parent in folder.parents if _is_left(parent)}
        for folder in filter(_is_left, temporary.glob(f"{_PREFIX}*")):
            with contextlib.suppress(OSError):  # another run may be removing it, too
                if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                    left.add(folder)
        for holder in left:
            self._remove(holder)


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git, without anything that could ask, hang or act on the user's behalf."""
    # Inside of a hook (pre-push, say), these name the repository and the index that the hook is about.
    left_out = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
    environment = {k: v for k, v in os.environ.items() if k not in left_out} | {
        "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0",  # status would otherwise write the index anew
        "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never",
    }  # fmt: skip
    # Files in LFS are mostly weights and data: gigabytes that no benchmark reads. Who needs them says so with a 0.
    environment.setdefault("GIT_LFS_SKIP_SMUDGE", "1")
    command = ["git", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal to ask at; and Ctrl-C is ours to handle
        )  # fmt: skip
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            raise GitError("git is not found; install it, or add its folder to PATH") from None
        raise GitError(f"git cannot be run in {folder}: {error.strerror}") from None
    try:
        out, err = process.communicate()
    except BaseException:
        with contextlib.suppress(OSError):  # also what it started: nothing may write into a folder that is removed
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, os.fsdecode(out), os.fsdecode(err))


def _words(result: subprocess.CompletedProcess[str]) -> str:
    """Return what git said, in one line."""
    lines = [line for line in result.stderr.splitlines() if line.strip()] or [f"it ended with {result.returncode}"]
    told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-1:]
    return "; ".join(line.removeprefix("fatal: ").removeprefix("error: ") for line in told)


def _no_repository(folder: Path, words: str) -> str:
    if "not a git repository" in words:
        return f"{folder} is not in a git repository; go to one, or make it one: git init, git add, git commit"
    if "work tree" in words:
        return f"{folder} is in a bare repository or in .git itself; go to a working tree of it (git clone, git worktree add)"
    if "dubious ownership" in words:
        return f"{folder} belongs to another user, so git does not trust it; git config --global --add safe.directory FOLDER"
    return f"git cannot read {folder}: {words}"


def _outside(root: Path) -> Path:
    """Return a temporary folder that is not in the repository, where the new folders would be files to be added."""
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp", root.parent):
        folder = Path(name).resolve()
        if not folder.is_relative_to(root) and os.access(folder, os.W_OK):
            return folder
    raise GitError(f"no temporary folder outside of {root} can be written; point TMPDIR to one")


def _place() -> str:
    """Where this process' number means something: another container's processes look dead from here."""
    namespace = Path("/proc/self/ns/pid")
    words = platform.node() + (os.readlink(namespace) if namespace.is_symlink() else "")
    return hashlib.sha256(words.encode()).hexdigest()[:8]


def _is_left(folder: Path) -> bool:
    match = _HOLDER.fullmatch(folder.name)
    try:
        if match and match[2] == _place():
            os.kill(int(match[1]), 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, ProcessLookupError)  # else it is there, and somebody else's
    return False
