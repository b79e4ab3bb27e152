"""Two versions of a package in one process: each side has a view of its own of ``sys.modules`` and ``sys.path``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path, PurePath
from types import ModuleType, SimpleNamespace
from typing import Any

# Of these there is one for both sides, whatever files of such a name lie in a worktree: what is compiled cannot be loaded
# twice, and the measuring itself rests on them.
_SHARED = sys.stdlib_module_names | {"torch", "torchgen", "functorch", "triton", "numpy", "hypothesis", "pytest", "_pytest"}


class Side:
    """A folder whose modules are found while ``with side:`` is active, and no others of their names.

    Afterwards ``sys.modules`` and ``sys.path`` are as before, but for modules from elsewhere that were imported on the way:
    those are shared. The side keeps its own modules for the next time. May be nested, also with other sides: the innermost
    one counts. The view is the whole process': other threads must not import meanwhile.

    To enter and to leave takes 4 microseconds where torch alone is loaded, 0.15 more for each own module and 0.1 for each that
    is hidden; once after anything was imported, 5 milliseconds. Measured by
    ``pytest tests/bench/git/test_isolated_imports.py -k cheap -s``.

    Args:
        folder: the project's, in a worktree; modules are imported from its ``src``, if there is one, and from itself.
        tree: the root of the worktree, if it is not ``folder``.
        original: the working tree in whose place ``tree`` stands. Its folders on ``sys.path`` (the current one; an editable
            install) are replaced by those of ``tree``, and its modules are hidden.
    """

    def __init__(self, folder: Path, tree: Path | None = None, original: Path | None = None) -> None:
        self.folder = folder.resolve()
        self._tree = str((tree or folder).resolve())
        self._original = str(original.resolve()) if original else ""
        self._roots = [str(part) for part in (self.folder / "src", self.folder) if part.is_dir()]
        self._packages, self._namespaces = _names_in(self._roots)
        self._own: dict[str, ModuleType] = {}
        self._hidden: dict[str, ModuleType] = {}
        self._rivals: list[str] = []
        self._age = -1  # of the outer world, when the rivals in it were looked for
        self._outer = sys.path, sys.path[:]  # itself, and what was in it
        self._composed: list[str] = []  # what was made of it
        self._path: list[str] = []  # what the side's modules made of that
        self._entered = (0, "", 0)
        self._operators: dict[str, Any] = {}

    def __enter__(self) -> Side:
        if not _active or _active[-1] is not self:
            if _active:
                _active[-1]._leave()
            try:
                self._enter()
            except BaseException:
                self._restore()
                if _active:
                    _active[-1]._enter()
                raise
        _active.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _active.pop()
        if not _active or _active[-1] is not self:
            self._leave()
            if _active:
                _active[-1]._enter()

    def paths(self) -> list[PurePath]:
        """Return where the files of its modules lie in the worktree; of those that lie elsewhere, the whole path."""
        return [file.relative_to(self._tree) if _within(str(file), self._tree) else file for file in self.files().values()]

    def files(self) -> dict[str, Path]:
        """Return the files of its modules, as far as they have been imported."""
        return {name: Path(_file(module)) for name, module in sorted(self._modules().items()) if _file(module)}

    def compiled(self) -> dict[str, Path]:
        """Return its extension modules: a commit holds their source, and not what was built of it."""
        return {n: f for n, f in self.files().items() if f.name.endswith((*EXTENSION_SUFFIXES, ".so", ".pyd"))}

    def strangers(self) -> list[str]:
        """Return modules of its packages that come from another place: the finder of an editable install, say."""
        return sorted(n for n, m in self._modules().items() if _file(m) and not _within(_file(m), self._tree))

    def replaced(self) -> list[str]:
        """Return its operators of ``torch.library.custom_op`` that another side registered anew.

        torch replaces them without a word: this side's function would call the other's kernel.
        """
        return sorted(name for name, operator in self._operators.items() if _operators().get(name) is not operator)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where a module of its packages lies: Python asks this side first, and an editable install's finder later."""
        if name.partition(".")[0] not in self._packages:
            return None
        return PathFinder.find_spec(name, self._roots if path is None else path, target)

    def _modules(self) -> dict[str, ModuleType]:
        active = bool(_active) and _active[-1] is self
        return {n: m for n, m in list(sys.modules.items()) if self._is_own(n, m)} if active else self._own

    def _enter(self) -> None:
        self._outer, before = (sys.path, sys.path[:]), self._outer[1]
        if self._age < 0:
            importlib.invalidate_caches()  # the worktree may be younger than what is known of its folder
        if _signature() != _world.signature:
            _world.age += 1
        if changed := self._age != _world.age:
            self._rivals = [n for n, m in list(sys.modules.items()) if n in self._own or self._is_rival(n, m)]
            self._age = _world.age
        for name in self._rivals:
            if name in sys.modules:
                self._hidden[name] = sys.modules.pop(name)
        sys.modules.update(self._own)
        sys.meta_path.insert(0, self)
        if not self._composed or self._outer[1] != before:
            self._composed = self._compose([entry for entry in self._path if entry not in self._composed])
            self._path = self._composed[:]
        sys.path[:] = self._path
        if changed:
            self._bind()
        self._entered = _signature()

    def _leave(self) -> None:
        try:
            if self._entered != _signature():
                self._own = {n: m for n, m in list(sys.modules.items()) if self._is_own(n, m)}
                self._operators |= {n: o for n, o in _operators().items() if _within(_source(o), self._tree)}
                _world.age += 1  # what came from elsewhere is there for the other side, too
            for name, module in self._own.items():
                self._own[name] = sys.modules.get(name, module)
            self._path = sys.path[:]
        finally:
            self._restore()

    def _restore(self) -> None:
        """Put back what was outside, also after half of :meth:`_enter`."""
        for name, module in self._own.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        sys.modules.update(self._hidden)
        self._hidden.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        sys.path, sys.path[:] = self._outer
        _world.signature = _signature()

    def _is_own(self, name: str, module: Any) -> bool:
        # What bears the name of one of its packages is its own wherever it comes from: rivals are hidden.
        return name.partition(".")[0] in self._packages or any(_within(place, self._tree) for place in _places(module))

    def _is_rival(self, name: str, module: Any) -> bool:
        """Whether an outer module must not be seen: another copy of one that is here."""
        top, _, rest = name.partition(".")
        if top in self._packages:
            return True
        file = _file(module)
        # mhsa itself is hidden only by a package of its name.
        if self._original and top != "mhsa" and _within(file, self._original):
            return os.path.exists(self._tree + file[len(self._original) :])
        if top not in self._namespaces or _file(sys.modules.get(top)):
            return False  # Python, too, prefers a package with an __init__.py to a folder without
        child = rest.partition(".")[0]
        return not child or any(os.path.exists(f"{root}/{top}/{child}{end}") for root in self._roots for end in ("", ".py"))

    def _bind(self) -> None:
        """Let this side's namespace packages have, as attributes, the shared modules that lie in them, too."""
        for name, module in list(sys.modules.items()):
            top, _, child = name.partition(".")
            if top in self._namespaces and child and "." not in child and not self._is_own(name, module):
                package = importlib.import_module(top)
                if not _file(package):
                    self._own[top] = package
                    vars(package).setdefault(child, module)

    def _compose(self, added: Sequence[str]) -> list[str]:
        """Return what to search: its folders, what its modules added, and the outer folders or what stands for them."""
        composed = [*self._roots, *added]
        for entry in self._outer[1]:
            place = os.path.abspath(entry or ".")
            there = self._tree + place[len(self._original) :]
            if self._original and _within(place, self._original) and os.path.isdir(there):
                entry = there
            if entry not in composed:
                composed.append(entry)
        return composed


# What the sides know in common of ``sys.modules`` outside of them all.
_world = SimpleNamespace(age=0, signature=(0, "", 0))
_active: list[Side] = []


def _signature() -> tuple[int, str, int]:
    """Return what changes with every import: a new module is the last one."""
    last = next(reversed(sys.modules))
    return len(sys.modules), last, id(sys.modules[last])


def _names_in(folders: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the names of packages and modules in folders, and those of folders that can be namespace packages."""
    packages: set[str] = set()
    namespaces: set[str] = set()
    for entry in (e for folder in folders for e in os.scandir(folder)):
        stem, _, ending = entry.name.partition(".")
        if entry.is_dir() and not ending:
            inits = any(os.path.exists(f"{entry.path}/__init__{end}") for end in (".py", ".pyc", *EXTENSION_SUFFIXES))
            (packages if inits else namespaces).add(stem)
        elif ending == "py" or f".{ending}" in EXTENSION_SUFFIXES:
            packages.add(stem)
    return packages - _SHARED, namespaces - packages - _SHARED


def _within(file: str, folder: str) -> bool:
    return file == folder or file.startswith(folder + os.sep)


def _file(module: Any) -> str:
    """Return a module's file, without loading those that are loaded by their first attribute."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) else ""


def _places(module: Any) -> list[str]:
    """Return a module's file, or the folders of a namespace package."""
    if file := _file(module):
        return [file]
    try:
        return [str(part) for part in getattr(module, "__dict__", {}).get("__path__") or ()]
    except Exception:  # its parent is gone, say
        return []


def _operators() -> dict[str, Any]:
    """Return what is registered by ``torch.library.custom_op``, if torch is there and says it."""
    return dict(getattr(sys.modules.get("torch._library.custom_ops"), "OPDEFS", {}))


def _source(operator: Any) -> str:
    return str(getattr(getattr(getattr(operator, "_init_fn", None), "__code__", None), "co_filename", ""))
