"""The repository that a folder lies in: its commits, their names and messages."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mhsa.bench.git.git import GitError, no_repository, run, words_of

_SHALLOW = "this is a shallow clone: git fetch --unshallow, or fetch-depth: 0 in GitHub's checkout"


class Commit(NamedTuple):
    """A commit: its name, when it was committed (seconds since 1970), and the first line of its message."""

    sha: str
    date: int
    message: str


class Message(NamedTuple):
    """The whole message of a commit, and the day on which it was committed."""

    sha: str
    date: str
    text: str


class Repository:
    """The commits of a repository.

    Args:
        start: a folder or a file somewhere in the repository.

    Attributes:
        root: the repository's working tree.
        subfolder: where ``start`` lies in it.
        notes: what is not as the user may expect: for example, that a clone has fewer commits.

    Raises:
        GitError: there is no repository, or no git; and from each method, what cannot be had.
    """

    def __init__(self, start: Path) -> None:
        if not start.exists():
            raise GitError(f"there is no {start}; give a folder of a git repository")
        folder = (start if start.is_dir() else start.parent).resolve()
        found = run(folder, "rev-parse", "--show-toplevel")
        if found.returncode:
            raise GitError(no_repository(folder, words_of(found)))
        self.root = Path(found.stdout.removesuffix("\n")).resolve()
        self.subfolder = folder.relative_to(self.root)
        self.notes: list[str] = []

    def commit(self, name: str) -> str:
        """Return the full name of the commit that a branch, a tag, ``HEAD~3`` and the like stand for."""
        if not name.strip() or name.startswith("-"):
            raise GitError(f"{name!r} names no commit; give a branch, a tag, a commit, or something like HEAD~3")
        found = run(self.root, "rev-parse", "--verify", name)
        peeled = found if found.returncode else run(self.root, "rev-parse", "--verify", found.stdout.strip() + "^{commit}")
        if not peeled.returncode:
            return peeled.stdout.strip()
        raise GitError(self._no_commit(name, found))

    def _no_commit(self, name: str, found: subprocess.CompletedProcess[str]) -> str:
        if "ambiguous" in found.stderr:
            return f"{name!r} is how several commits begin; write more of it"
        if ".." in name:
            return f"{name!r} is a range; give one commit"
        if run(self.root, "rev-parse", "--verify", "HEAD").returncode:
            return f"{self.root} has no commits yet; commit what is to be compared first"
        if run(self.root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            return f"{name!r} is not there; {_SHALLOW}"
        listed = run(self.root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
        names = listed.stdout.split()
        near = [n for n in names if n.endswith(f"/{name}")] or difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see git branch --all, git tag and git log"
        return f"{name!r} is not a commit of {self.root}; {hint}"

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
        found = self.output("rev-list", "--first-parent", "--reverse", f"{older}..{newer}").split()
        if not found:
            turned = f"{end or 'HEAD'} is the older one, write {end or 'HEAD'}..{begin or 'HEAD'}"
            raise GitError(f"{text!r} holds no commits: {turned if older != newer else 'both ends are the same commit'}")
        cut = self.root / self.output("rev-parse", "--git-path", "shallow").removesuffix("\n")
        if cut.is_file() and found[0] in cut.read_text().split():
            raise GitError(f"{text!r} goes back further than this clone; {_SHALLOW}")
        return found

    def newest(self, most: int) -> list[str]:
        """Return the newest commits up to HEAD, oldest first, by first parents; fewer if there are no more, here at least."""
        last = self.commit("HEAD")
        found = self.output("rev-list", "--first-parent", "--reverse", f"--max-count={most}", last).split()
        cut = self.root / self.output("rev-parse", "--git-path", "shallow").removesuffix("\n")
        if len(found) < most and cut.is_file():
            self.notes.append(f"there are {len(found)} commits here, not {most}: {_SHALLOW}")
        return found

    def described(self, shas: Sequence[str]) -> list[Commit]:
        """Return when each of some commits was made, and its message."""
        lines = self.output("log", "--no-walk=unsorted", "--format=%H%x00%ct%x00%s", *shas, "--").split("\n")
        parts = [line.split("\0", 2) for line in lines if line]
        found = {sha: Commit(sha, int(date), message) for sha, date, message in parts}
        return [found[sha] for sha in shas]

    def changes(self) -> list[str]:
        """Return the files under version control that differ from HEAD; paths are relative to the root."""
        arguments = ("--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
        return [entry[3:] for entry in self.output("status", "--porcelain=v1", "-z", *arguments).split("\0") if entry]

    def changed(self, base: str, head: str) -> list[str]:
        """Return the files that differ between two commits; paths are relative to the root."""
        return [path for path in self.output("diff", "--name-only", "--no-renames", "-z", base, head).split("\0") if path]

    def text_at(self, sha: str, path: str) -> str | None:
        """Return a file as a commit has it; None if it has none of that name."""
        found = run(self.root, "show", f"{sha}:{path}")
        return None if found.returncode else found.stdout

    def is_ignored(self, path: str) -> bool:
        """Whether git ignores a file that is not under version control."""
        return not run(self.root, "check-ignore", "--quiet", path).returncode

    def messages(self, base: str | None, head: str) -> list[Message]:
        """Return the messages of the commits that head has and base has not, newest first; without base, that of head."""
        which = (f"{base}..{head}",) if base else ("--no-walk", head)
        entries = self.output("log", "-z", "--format=%H%n%cs%n%B", *which, "--").split("\0")
        return [Message(*entry.split("\n", 2)) for entry in entries if entry.count("\n") >= 2]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit is another one, or lies in its past; a commit that is not here is no one's ancestor."""
        return not older.startswith("-") and not run(self.root, "merge-base", "--is-ancestor", older, newer).returncode

    def parent(self, sha: str) -> str | None:
        """Return the first parent of a commit; None if there is none, or a shallow clone has it not."""
        found = run(self.root, "rev-parse", "--verify", "--quiet", f"{sha}^1^{{commit}}")
        return None if found.returncode else found.stdout.strip()

    def output(self, *arguments: str) -> str:
        """Return what git prints; it must succeed."""
        result = run(self.root, *arguments)
        if result.returncode:
            raise GitError(f"git {arguments[0]} failed in {self.root}: {words_of(result)}")
        return result.stdout
