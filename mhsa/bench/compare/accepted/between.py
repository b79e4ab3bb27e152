"""Which acceptances hold between two commits, and which came in with a commit: those that the one has and the other has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.file import NAME, entries
from mhsa.bench.compare.accepted.trailers import accepted_in
from mhsa.bench.git.repository import Commit, Repository
from mhsa.records.configuration import find
from mhsa.records.errors import UsageError


def place_in(repository: Repository) -> str:
    """Return the path of the file in a repository: next to the configuration of the project's folder, or else in that."""
    folder = repository.root / repository.subfolder
    configuration = find(folder)
    beside = configuration.parent if configuration is not None and configuration.is_relative_to(repository.root) else folder
    return (beside.relative_to(repository.root) / NAME).as_posix()


def between(repository: Repository, base: str, head: str, place: str) -> list[Acceptance]:
    """Return what is accepted of head that is not of base: what its file says in addition, and messages since then.

    What was slower at base already is not allowed once more.

    Args:
        repository: that has both.
        base, head: commits.
        place: of the file.

    Raises:
        UsageError: something is accepted in a way that is not understood, or without a reason.
    """
    new = _added(repository.text_at(base, place), repository.text_at(head, place), place)
    new = [entry for entry in new if not (entry.commit and repository.is_ancestor(entry.commit, base))]
    return [*new, *accepted_in(repository.messages(base, head))]


def uncommitted(repository: Repository, head: str, place: str) -> str:
    """Return what to do where the working tree's file says other than head's; empty where it does not."""
    path = repository.root / place
    if not path.is_file() or path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") == (
        (repository.text_at(head, place) or "").replace("\r\n", "\n")
    ):
        return ""
    ignored = ", although git ignores it: git add --force" if repository.is_ignored(place) else ""
    return f"{place} is not committed as it stands, and only what is committed counts: commit it{ignored}"


def introduced(repository: Repository, commits: Sequence[Commit], place: str) -> tuple[list[tuple[int, Acceptance]], list[str]]:
    """Return what came in with each of some commits, with its number, and what could not be read.

    Args:
        repository: that has them.
        commits: oldest first, each the first parent of the next.
        place: of the file.
    """
    found: list[tuple[int, Acceptance]] = []
    problems: list[str] = []
    parents = [repository.parent(commits[0].sha) if commits else None, *(commit.sha for commit in commits)]
    texts: Mapping[str | None, str | None] = {sha: repository.text_at(sha, place) if sha else None for sha in parents}
    for n, (parent, commit) in enumerate(zip(parents, commits, strict=False)):
        try:
            if texts[commit.sha] != texts[parent]:
                found += [(n, entry) for entry in _added(texts[parent], texts[commit.sha], place)]
            found += [(n, entry) for entry in accepted_in(repository.messages(parent, commit.sha))]
        except UsageError as error:
            problems.append(f"{commit.sha[:7]}: {error}")
    return found, problems


def _added(before: str | None, after: str | None, place: str) -> list[Acceptance]:
    """Return what a file says in addition; what is given another reason is no addition."""
    known = [replace(entry, reason="") for entry in entries(before or "", f"{place}, as it was before,")]
    return [entry for entry in entries(after or "", place) if replace(entry, reason="") not in known]
