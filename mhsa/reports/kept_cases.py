"""Which saved cases stay: the last failure of each subject and property, until it holds again, and no more than a cap."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from pathlib import Path

from mhsa.records.case_files.case_file import CaseFileError, is_case, path_of, read
from mhsa.records.defaults import DEFAULT_DTYPES, PROFILES
from mhsa.records.request import Request

# Files in the folder. A subject that is wholly wrong fails some eighty properties, so this is the last failures of six of them;
# at some kilobytes each it is a few megabytes.
MOST = 500


def forget(folder: Path, request: Request, identity: str) -> None:
    """Remove the case of a property that holds again, judged at least as hard as when it failed.

    The profile is no smaller, the device the same, and the dtypes are among those of then. A file that is not a case, or one of
    another subject whose name only looks the same, stays.
    """
    path = path_of(folder, request, identity)
    try:
        then = read(path).request
    except CaseFileError:
        return
    if path.is_symlink() or (then.label, then.device) != (request.label, request.device):
        return
    as_hard = PROFILES[request.profile] >= PROFILES[then.profile]
    if as_hard and set(then.dtypes or DEFAULT_DTYPES) <= set(request.dtypes or DEFAULT_DTYPES):
        with contextlib.suppress(OSError):  # one that stays costs nothing but its room
            path.unlink()


def keep_within(folder: Path, saved: Set[Path], most: int = MOST) -> None:
    """Remove the oldest cases beyond a number: never one that this run has ``saved``, which reports name, nor other files."""
    cases = sorted(_files(folder), key=lambda pair: pair[0])
    surplus = len(cases) - most
    for _, path in cases:
        if surplus <= 0:
            return
        if path not in saved and is_case(path):
            with contextlib.suppress(OSError):
                path.unlink()
                surplus -= 1


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    """Yield what is named as a case is, with the time of its last change; no links."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*--*.json"):
            if path.is_file() and not path.is_symlink():
                yield path.stat().st_mtime, path
