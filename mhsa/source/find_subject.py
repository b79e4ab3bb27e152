"""Which object of the user's repository is meant, by its files alone: nothing is imported, and none of its code is run."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mhsa.records.errors import UsageError

_CALLED = re.compile("attention|attn|mha", re.IGNORECASE)
_SKIPPED = {"tests", "test", "build", "dist", "site-packages", "node_modules", "__pycache__"}
_MOST = 2000  # Python files that are looked at
_SHOWN = 10
_EXAMPLE = "mhsa init package.module:Attention"


def checked(spec: str) -> str:
    """Return a subject that was named, once its file is known to be there; raise a UsageError otherwise."""
    head, colon, attr = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    well_named = spec.isprintable() and (not colon or _is_dotted(attr))
    if well_named and head.endswith(".py"):
        path = Path(head)
        if not path.is_file():
            raise UsageError(f"no file {head}; nothing was written")
        # What is committed must not say where this checkout lies.
        inside = path.resolve().is_relative_to(Path.cwd().resolve())
        return (Path(os.path.relpath(path)) if inside else path).as_posix() + colon + attr
    if not (colon and well_named and _is_dotted(head)):
        raise UsageError(f"{spec!r} names no object; write package.module:attr, or path/file.py[:attr]; nothing was written")
    if not _is_module(head):
        raise UsageError(f"{spec}: no module {head} is here, in src or installed; nothing was written")
    return spec


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _is_module(name: str) -> bool:
    """Whether there is a module; of one that is installed only the top package is looked for, as the rest needs an import."""
    top = name.partition(".")[0]
    for root in (Path(), Path("src")):
        base = root.joinpath(*name.split("."))
        if (base / "__init__.py").is_file() or base.with_suffix(".py").is_file() or any(base.parent.glob(f"{base.name}.*.so")):
            return True
        if (root / f"{top}.py").is_file() or any((root / top).glob("*.py")):
            return False
    found = None
    with contextlib.suppress(ImportError, ValueError):
        found = importlib.util.find_spec(top)
    if found is None:
        return False
    # A folder here without any Python file passes for a package, too.
    ours = {Path(top).resolve(), Path("src", top).resolve()}
    return found.origin is not None or any(Path(p).resolve() not in ours for p in found.submodule_search_locations or ())


def only_candidate() -> str:
    """Return the one class here that looks like an attention; raise a UsageError if there is not exactly one."""
    files = python_files(Path())
    found = [_spec(path, name) for path in islice(files, _MOST) for name in attentions(path)]
    if next(files, None) is not None:
        raise UsageError(f"there are more than {_MOST} Python files here, too many to look for one; name it: {_EXAMPLE}")
    if not found:
        raise UsageError(
            "no class here is called like an attention (attention, attn, mha) and has a forward method; "
            f"name a subject: {_EXAMPLE}; nothing was written"
        )
    if len(found) > 1:
        shown = "".join(f"\n  {spec}" for spec in found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(
            f"several classes may be meant:{shown}{more}\n"
            f"name one or more: mhsa init {shlex.join(found[:1])}; nothing was written"
        )
    return found[0]


def candidates(most: int) -> list[str]:
    """Return the first classes here that look like an attention, named as they can be verified; there may be none."""
    files = islice(python_files(Path()), _MOST)
    return list(islice((_spec(path, name) for path in files for name in attentions(path)), most))


def python_files(root: Path) -> Iterator[Path]:
    """Yield what may hold an implementation: no hidden folder, environment, test or build product."""
    for place, folders, files in os.walk(root):
        folder = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and not (folder / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            test = name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"
            if name.endswith(".py") and not name.startswith(".") and not test:
                yield folder / name


def attentions(path: Path) -> list[str]:
    """Return the names of the module's classes that are called like an attention and define forward."""
    try:
        source = path.read_bytes()
        if b"forward" not in source:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's escape sequences, which are not our business
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # what Python cannot read is no candidate
    return [
        node.name
        for node in _top_level(tree.body)
        if _CALLED.search(node.name)
        and any(isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef)) and x.name == "forward" for x in node.body)
    ]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.ClassDef]:
    """Yield the classes that can be imported, also those that are defined under an if or a try; each name once."""
    names = set()
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop(0)
        if isinstance(node, ast.ClassDef) and node.name not in names:
            names.add(node.name)
            yield node
        elif isinstance(node, (ast.If, ast.Try, ast.ExceptHandler)):
            queue[:0] = ast.iter_child_nodes(node)


def _spec(path: Path, name: str) -> str:
    """Return how a class of a file is named: by its module where that can be imported as such, else by the file."""
    folders = [folder for folder in reversed(path.parents) if folder != Path()]
    in_src = len(folders) > 1 and folders[0] == Path("src") and not Path("src/__init__.py").exists()
    if folders and (in_src or all((folder / "__init__.py").is_file() for folder in folders)):
        parts = [*path.parent.parts[in_src:], *([] if path.stem == "__init__" else [path.stem])]
        if _is_dotted(".".join(parts)):
            return f"{'.'.join(parts)}:{name}"
    return f"{path.as_posix()}:{name}"
