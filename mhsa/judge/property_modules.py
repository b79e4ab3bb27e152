"""The files of properties, imported with the effort of a profile: how Hypothesis draws, shrinks, remembers and replays."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from mhsa.judge.budget import cases_of
from mhsa.judge.drawing.choices import is_of_tables
from mhsa.judge.drawing.designed_property import designed_property
from mhsa.records.catalogue import properties_folder
from mhsa.records.errors import SubjectError, describe
from mhsa.subject import check


@dataclass(frozen=True)
class Effort:
    """How cases are looked for.

    Attributes:
        profile, seed: how many, and which.
        shrink: whether a failing case is made as small as possible.
        database: folder of Hypothesis' example database; without one the same command gives the same verdict.
        replay: what one property is to be called with, in place of drawn cases.
    """

    profile: str = "quick"
    seed: int = 0
    shrink: bool = True
    database: str = ""
    replay: dict[str, Any] | None = None

    @property
    def is_designed(self) -> bool:
        """Whether cases are designed; thorough, and a database of former failures, are Hypothesis' own."""
        return self.profile != "thorough" and not self.database


_unprepared: dict[Path, ModuleType] = {}  # imported, and not given an effort yet


def import_beforehand() -> None:
    """Import all files of properties, for forked processes: each prepares them for an effort of its own."""
    for path in sorted(properties_folder().glob("test_*.py")):
        _unprepared[path] = _imported(path)


def import_properties(path: Path, effort: Effort) -> ModuleType:
    """Import a file of properties under a name that does not clash with the user's ``test_masks`` or ``properties``."""
    module = _unprepared.pop(path, None) or _imported(path)
    for name, function in list(vars(module).items()):
        if hypothesis.is_hypothesis_test(function):
            vars(module)[name] = _prepared(function, path.stem, effort)
    return module


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mhsa.properties.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prepared(function: Any, family: str, effort: Effort) -> Any:
    """Give a property its settings; they are its own, whatever profile the user's session has loaded."""
    inner = _noted(function.hypothesis.inner_test)
    if effort.replay is not None:
        return _fixed(inner, effort.replay)
    function.hypothesis.inner_test = inner
    count = cases_of(function, effort.profile)
    strategies = function.hypothesis._given_kwargs
    if effort.is_designed and all(map(is_of_tables, strategies.values())):
        return designed_property(inner, strategies, count, f"{family}.{function.__name__} {effort.seed}", _settings(effort))
    hypothesis.seed(effort.seed)(function)
    hypothesis.settings(_settings(effort), max_examples=count)(function)
    # Else Hypothesis tokenises the property's source for a key of its database, a millisecond each.
    function._hypothesis_internal_database_key = f"mhsa:{family}:{function.__name__}".encode()
    return function


def _settings(effort: Effort) -> hypothesis.settings:
    database: ExampleDatabase | None = DirectoryBasedExampleDatabase(effort.database) if effort.database else None
    phases = [hypothesis.Phase.generate]
    phases += [hypothesis.Phase.reuse] if database is not None else []
    phases += [hypothesis.Phase.shrink] if effort.shrink else []
    return hypothesis.settings(
        deadline=None,  # a slow machine is not a bug
        database=database,
        derandomize=False,  # the seed is given instead
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=phases,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )


def _noted(inner: Callable[..., None]) -> Callable[..., None]:
    """Keep what a property is called with, so that a failure can be saved."""

    @functools.wraps(inner)
    def noted(*arguments: Any, **drawn: Any) -> None:
        check.current().drawn = {name: value for name, value in drawn.items() if name != "subject"}
        inner(*arguments, **drawn)

    return noted


def _fixed(inner: Callable[..., None], drawn: dict[str, Any]) -> Callable[[Any], None]:
    """A property as a plain test of one case."""

    def fixed(subject: Any) -> None:
        try:
            inner(subject=subject, **drawn)
        except (check.Violation, pytest.skip.Exception):
            raise
        except Exception as error:  # values that this version of the property does not draw
            raise SubjectError(f"it cannot be called with what was saved: {describe(error)}") from error

    fixed.__name__, fixed.__doc__ = inner.__name__, inner.__doc__
    return fixed
