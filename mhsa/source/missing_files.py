"""What a subject's name points at, as far as its files tell: what is not there is told before any process is started for it."""

from __future__ import annotations

import contextlib
import importlib.util
from itertools import islice
from pathlib import Path

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
