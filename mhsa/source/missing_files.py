"""Whether the files that a subject's name points at exist: what is missing is reported without starting a process."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import os
from itertools import islice
from pathlib import Path

from mhsa.records.errors import LONGEST, SubjectError
from mhsa.records.request import Request

_FILES = 200  # Python files of a folder that are looked at: a second at most
_SHOWN = 5  # classes that are named


def nothing_at(spec: str, folder: str = "") -> str:
    """Return why a name cannot lead to an object, in one line; empty where only an import can tell.

    Args:
        spec: ``package.module:attr`` or ``path/file.py[:attr]``.
        folder: that paths are relative to and modules are imported from; empty for the current one.
    """
    base = Path(folder) if folder else Path()
    head, colon, attr = spec.rpartition(":")
    path = base / (head if colon and not spec.endswith((".py", ".ipynb")) else spec)
    if path.suffix == ".ipynb":
        script = path.with_suffix(".py").name
        return (
            f"{spec} is a notebook; a subject stands in a module or a .py file: jupyter nbconvert --to script {path.name}, "
            f"or copy the class into {script}; then mhsa verify {script}"
        )
    if path.is_dir() and (not colon or "/" in head):
        return _in_folder(spec if not colon else head, path, base)
    if path.suffix == ".py" or not head or not attr:
        return ""  # loading says it, without any import
    top = head.partition(".")[0]
    if not top.isidentifier() or _is_there(top, [base / "src", base]):
        return ""
    return f"import of {head} failed: ModuleNotFoundError: No module named {top!r}"


def _is_there(top: str, folders: list[Path]) -> bool:
    """Whether a package or module of that name can be found; nothing is imported."""
    for folder in folders:
        if (folder / top).is_dir() or any(folder.glob(f"{top}.*")):
            return True
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(top) is not None
    return True  # it is odd, and an import says how


def _in_folder(spec: str, path: Path, base: Path) -> str:
    """Say what could be named in a folder: the classes called like an attention, or else the files."""
    from mhsa.source.find_subject import attentions, python_files

    files = list(islice(python_files(path), _FILES))
    names = [(f.relative_to(base) if f.is_relative_to(base) else f).as_posix() for f in files]  # as they have to be written
    found = [f"{name}:{attr}" for file, name in zip(files, names, strict=True) for attr in attentions(file)] or names
    if not found:
        return f"{spec} is a folder without Python files; name path/file.py[:attr] or package.module:attr"
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{spec} is a folder; name a file or an object: {', '.join(found[:_SHOWN])}{more}"


def missing(request: Request) -> str:
    """Return why a subject cannot be loaded, where its files tell that without any import; else nothing."""
    try:
        require_there(request.spec, request.folder)
    except SubjectError as error:
        return str(error)
    except OSError as error:  # a name that is too long for a file, say
        return f"{request.spec[:LONGEST]} cannot be looked for: {error.strerror}"
    return ""


def require_there(spec: str, folder: str) -> None:
    """Raise a SubjectError where a name leads to no object, as far as files tell."""
    if words := nothing_at(spec, folder):
        raise SubjectError(words)
    path, attr = as_file(os.path.relpath(Path(folder) / spec) if folder and ".py" in spec else spec)
    name, _, attr = spec.partition(":")
    if path is None and (not attr or not name):
        file = next((f for f in (f"{spec}.py", f"{spec.replace('.', '/')}.py") if (Path(folder) / f).is_file()), "")
        hint = f"; did you mean {file}?" if file else ""
        raise SubjectError(f"{spec!r} names no object; write package.module:attr, or path/file.py[:attr]{hint}")


def as_file(spec: str) -> tuple[Path | None, str]:
    """Path and attr if ``spec`` names a Python file; a colon may also stand in the path (a drive, say)."""
    head, colon, tail = spec.rpartition(":")
    if spec.endswith(".py"):
        path, attr = Path(spec), ""
    elif colon and head.endswith(".py"):
        path, attr = Path(head), tail
    else:
        return None, ""
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise SubjectError(f"no file {path}{hint}")
    return path.resolve(), attr
