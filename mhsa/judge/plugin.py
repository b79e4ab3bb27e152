"""The pytest plugin: ``pytest --attention SUBJECT properties/``.

It is loaded into every pytest run of an environment that has mhsa, so this file imports next to nothing; torch,
Hypothesis and the judge come in when a file of properties is collected.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mhsa.records.defaults import DTYPES, PROFILES

if TYPE_CHECKING:
    from mhsa.judge.judge import PropertyFile

_SKIP_HELP = "file with a JSON list of [number of a subject, property id] that need not run again"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; ``mhsa verify`` has the same ones under shorter names."""
    group = parser.getgroup("mhsa", "verification of attention implementations (mhsa)")
    group.addoption(
        "--attention", action="append", metavar="SUBJECT", default=[],
        help="implementation to verify, needed by the properties: package.module:attr or path/file.py[:attr]; repeatable",
    )  # fmt: skip
    group.addoption(
        "--attention-profile", choices=list(PROFILES), default="quick",
        help=f"most cases per property: {', '.join(f'{name} {n}' for name, n in PROFILES.items())} (default: quick)",
    )  # fmt: skip
    group.addoption("--attention-seed", type=int, default=0, metavar="N", help="seed of the cases (default: 0)")
    group.addoption(
        "--attention-dtype", action="append", choices=DTYPES, default=[],
        help="dtype to verify in; repeatable (default: float64 and float32)",
    )  # fmt: skip
    group.addoption("--attention-device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:1, ...")
    group.addoption(
        "--attention-shape", action="append", metavar="SHAPE", default=[],
        help="shape to time at, in benchmarks; a name that `mhsa bench --help` lists, or BxTxHxD; repeatable",
    )  # fmt: skip
    group.addoption("--attention-exitfirst", action="store_true", help="end each subject at its first failure")
    group.addoption("--attention-no-shrink", action="store_true", help="do not look for the smallest case of a failure")
    group.addoption("--attention-skip", metavar="FILE", help=_SKIP_HELP)
    group.addoption("--attention-claims", metavar="FOLDER", help="run what no process that is given the same folder has taken")
    group.addoption("--attention-requests", metavar="FILE", help="file with a JSON list of subjects, as mhsa verify writes it")
    group.addoption("--attention-replay", metavar="FILE", help="file with the JSON of what the property is called with")
    group.addoption("--attention-database", metavar="FOLDER", default="", help="Hypothesis' example database (default: none)")
    group.addoption("--attention-coverage", metavar="FILE", help="write there which lines of the subjects were run")
    group.addoption("--attention-script", metavar="FILE", help="with --attention-replay, write a stand-alone script there")
    group.addoption("--attention-memory", type=int, metavar="BYTES", help="most memory of the process (default: no limit)")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a second mhsa, and names of shapes that are not known, before anything is collected."""
    if not hasattr(config, "workerinput"):  # pytest has importlib.metadata and its caches already: this takes a millisecond
        from mhsa.records.distribution import clash

        if words := clash():
            raise pytest.UsageError(f"mhsa: {words}")
    names: list[str] = config.getoption("--attention-shape")
    if names:
        from mhsa.records.shape import shape_of

        try:
            for name in names:
                shape_of(name)
        except ValueError as error:
            raise pytest.UsageError(f"--attention-shape: {error}") from None


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> PropertyFile | None:
    """Collect the files of properties by a class of their own, whatever the import mode of the session."""
    if module_path.parent.name != "properties":
        return None
    from mhsa.records.catalogue import properties_folder

    if module_path.parent.resolve() != properties_folder():
        return None
    from mhsa.judge.judge import Judge, PropertyFile

    Judge.of(parent.config)
    file: PropertyFile = PropertyFile.from_parent(parent, path=module_path)
    return file
