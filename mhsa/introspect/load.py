"""From what the user typed, ``package.module:attr`` or ``path/file.py[:attr]``, to a Python object."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from mhsa.introspect.choose_subject import Choice, choose
from mhsa.records.errors import SubjectError, describe
from mhsa.records.request import Request
from mhsa.source.missing_files import as_file, require_there

T = TypeVar("T")


def target_of(request: Request) -> Any:
    """Return the object that a request is about, without how it was chosen."""
    return chosen(request).target


def chosen(request: Request) -> Choice:
    """Return the object that a request is about: loaded, the model built, its submodule found.

    Raises:
        SubjectError: with what was given, what is wrong and what to do.
    """
    choice = _choice(request.spec, request.folder)
    if not request.submodule:
        return choice.of_modules
    return Choice(_submodule(request, choice.target), choice.understood)


def _submodule(request: Request, target: Any) -> Any:
    from torch import nn

    if not isinstance(target, nn.Module):
        if not callable(target):
            raise SubjectError(f"{request.spec} is a {type(target).__name__}; must be a model, or a function that returns one")
        target = _guarded(target, f"{request.spec}()")
    if not isinstance(target, nn.Module):
        raise SubjectError(f"{request.spec}() returns a {type(target).__name__}; must return an nn.Module")
    try:
        return target.get_submodule(request.submodule)
    except AttributeError:
        names = [name for name, _ in target.named_modules() if name]
        near = difflib.get_close_matches(request.submodule, names, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has {', '.join(names[:8]) or 'none'}"
        raise SubjectError(f"{request.spec}: the model has no submodule {request.submodule!r}{hint}") from None


def load(spec: str, folder: str = "") -> Any:
    """Import the object that ``spec`` names.

    Args:
        spec: ``package.module:attr``, or ``path/file.py[:attr]``.
        folder: that paths are relative to and modules are imported from; empty for the current one.

    Raises:
        SubjectError: with what was given, what is wrong and what to do.
    """
    return _choice(spec, folder).target


def _choice(spec: str, folder: str) -> Choice:
    require_there(spec, folder)
    if folder:
        for part in (Path(folder) / "src", Path(folder)):  # a file of the subject may import from there, too
            if part.is_dir():
                _let_import(part)
        if ".py" in spec:
            spec = os.path.relpath(Path(folder) / spec)
    path, attr = as_file(spec)
    if path is not None:
        module = _import_file(path)
        if attr:
            return _attribute(module, attr, spec)
        return choose(module, spec)
    name, _, attr = spec.partition(":")
    if not folder:
        _let_import(Path.cwd())
    return _attribute(_guarded(lambda: importlib.import_module(name), f"import of {name}"), attr, spec)


def _import_file(path: Path) -> ModuleType:
    """Import ``path`` as Python would: within its package if it has one, else with its folder importable."""
    package = path.parent
    parts = [path.stem]
    while (package / "__init__.py").is_file():
        parts.insert(0, package.name)
        package = package.parent
    _let_import(package)
    if len(parts) > 1:
        return _guarded(lambda: importlib.import_module(".".join(parts)), f"import of {path}")
    # A name of its own, so that a file called random.py or torch.py hides nothing.
    name = f"mhsa_subject_{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:  # several subjects of one file are of one module, as pickle expects
        return sys.modules[name]
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise SubjectError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    loader = module_spec.loader

    def execute() -> ModuleType:
        loader.exec_module(module)
        return module

    try:
        return _guarded(execute, f"import of {path}")
    except SubjectError:
        del sys.modules[name]
        raise


def _let_import(folder: Path) -> None:
    # Only now, with torch long imported: a file called random.py in the user's folder must not replace the library's.
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _guarded(step: Callable[[], T], what: str) -> T:
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # nothing is left in the user's folders, where git would see it
    try:
        return step()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a subject may even call sys.exit at import
        raise SubjectError(f"{what} failed: {describe(error)}") from error
    finally:
        sys.dont_write_bytecode = before


def _attribute(module: ModuleType, attr: str, spec: str) -> Choice:
    """Return what ``attr`` names; behind a class of modules it may go on with the path of a part of what is built."""
    from torch import nn

    target: Any = module
    parts = attr.split(".")
    for n, part in enumerate(parts):
        try:
            target = getattr(target, part)
        except AttributeError:
            if inspect.isclass(target) and issubclass(target, nn.Module):
                return Choice(target, attention=".".join(parts[n:]))
            public = [name for name in dir(target) if not name.startswith("_")]
            near = difflib.get_close_matches(part, public, n=3)
            owner = getattr(target, "__name__", type(target).__name__)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise SubjectError(f"{spec}: {owner} has no attribute {part!r}{hint}") from None
    return Choice(target)
