"""Whether what two commits differ in can matter to a subject: if not, it is not slower, and nothing is timed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath, PurePosixPath

from mhsa.bench.compare.accepted.file import NAME as ACCEPTED

WORDS = "the same code at both commits"
# What nothing that runs reads: words and pictures, and what GitHub reads. Everything else may be data, a kernel's source say.
_DOCUMENTS = {".md", ".rst", ".ipynb", ".png", ".svg", ".jpg", ".gif", ".pdf", ".cff"}
_NAMES = {"LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS", "CODEOWNERS", ".gitignore", ".gitattributes", ".mailmap",
          ACCEPTED}  # fmt: skip
_FOLDERS = {".github", "docs", "doc"}
_BESIDE = {".txt", ".yml", ".yaml", ".html", ".css"}  # documents in these folders only


def are_the_same(changed: Iterable[str], used: Iterable[str] | None) -> bool:
    """Whether the files that differ are text, or modules in folders that the subject imports nothing from.

    Args:
        changed: paths in the repository.
        used: the outermost folders of all modules that were imported, "" for the repository's own; None if that is not known.
    """
    return all(
        _is_document(path) or (used is not None and path.suffix == ".py" and folder_of(path) not in used)
        for path in map(PurePosixPath, changed)
    )


def folder_of(path: PurePath) -> str:
    """Return the outermost folder, "" for a file of the repository's own."""
    return path.parts[0] if len(path.parts) > 1 else ""


def _is_document(path: PurePosixPath) -> bool:
    if path.suffix in _DOCUMENTS or path.name in _NAMES:
        return True
    return folder_of(path) in _FOLDERS and path.suffix in _BESIDE
