"""Commits of the user's repository as folders: checked out outside of it, so that nothing of the user's own is touched."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from mhsa.bench.git.git import GitError, run, words_of
from mhsa.bench.git.repository import Repository

_PREFIX = "mhsa-tree-"
_HOLDER = re.compile(rf"{_PREFIX}(\d+)-([0-9a-f]{{8}})-[0-9a-f]+")  # the process that made it, and where that runs
_FORGET = ("worktree", "remove", "--force", "--force")  # twice: one that was never finished is locked


class Checkout(NamedTuple):
    """A commit's ``folder``, that of the project, in a worktree ``tree`` that stands for the user's ``original``."""

    folder: str
    tree: str
    original: str


class Trees(Repository):
    """The commits of a repository; with ``with``, also as folders, which are gone at the end.

    What an earlier run left because it was killed goes, too. Other worktrees stay, also those whose folders are missing (on
    a disk that is not there, say), which ``git worktree prune`` would forget.

    The place of ``start`` in the repository is looked for in a commit's folder, too. ``notes`` says what is not there as in
    the user's own working tree: submodules, for example, are empty.
    """

    def __init__(self, start: Path) -> None:
        super().__init__(start)
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

    def checkout(self, sha: str) -> Checkout:
        """Check a commit out, and return its folders."""
        tree = self.check_out(sha)
        return Checkout(str(tree / self.subfolder), str(tree), str(self.root))

    def check_out(self, sha: str) -> Path:
        """Return the folder that holds the files of a commit; it is the same one each time."""
        if self._holder is None:
            raise RuntimeError("check_out outside of `with Trees(...)`: nothing would remove what it makes")
        if sha in self._folders:
            return self._folders[sha]
        folder = self._holder / sha[:16] / (self.root.name or "tree")  # its name may be that of the package
        try:
            self._holder.mkdir(mode=0o700, exist_ok=True)
            folder.parent.mkdir()
        except OSError as error:
            raise GitError(f"{folder.parent} cannot be made: {error.strerror}; point TMPDIR to a folder that can") from None
        added = run(self.root, "worktree", "add", "--quiet", "--detach", str(folder), sha)
        if added.returncode:
            self._remove(folder.parent)
            words = words_of(added)
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

    def _listed(self) -> list[Path]:
        return [Path(p) for p in re.findall("^worktree (.*)$", run(self.root, "worktree", "list", "--porcelain").stdout, re.M)]

    def _remove(self, holder: Path) -> None:
        """Remove a folder and the worktrees in it; git forgets also those whose folder is gone already."""
        for link in (*holder.glob("*/*/.git"), *holder.glob("*/.git")):  # of a killed run, perhaps that of another repository
            common = run(link.parent, "rev-parse", "--git-common-dir")
            if not common.returncode:
                run(link.parent / common.stdout.removesuffix("\n"), *_FORGET, str(link.parent))
        shutil.rmtree(holder, ignore_errors=True)
        for folder in self._listed():
            if holder in folder.parents:
                run(self.root, *_FORGET, str(folder))

    def _sweep(self, temporary: Path) -> None:
        """Remove what killed runs left, of this repository and of others."""
        left = {parent for folder in self._listed() for parent in folder.parents if _is_left(parent)}
        for folder in filter(_is_left, temporary.glob(f"{_PREFIX}*")):
            with contextlib.suppress(OSError):  # another run may be removing it, too
                if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                    left.add(folder)
        for holder in left:
            self._remove(holder)


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
