"""Where figures are kept: results of asv (format 2), a file for each commit, each written whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa import __version__
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.asv_figures import NAMES, NOT_ASKED, Key, as_params, figure, key_of, merged, spread, union
from mhsa.bench.measure.machine import IN_COMMON, series_key
from mhsa.bench.measure.measurement import Measurement
from mhsa.bench.tools.asv_suite import Suite
from mhsa.records.errors import UsageError

ENVIRONMENT = "mhsa"  # in asv's words: always the same one, so that what a machine is called decides alone about the series
_COLUMNS = ("result", "params", "version", "started_at", "duration")
_OLD = 600.0  # seconds: then no process is still writing a file that was begun


class StoreError(UsageError):
    """Results cannot be read or written; says which, and what to do."""


@dataclass(frozen=True)
class Kept:
    """A measurement, and what exactly was measured: a label may stand for something else one day."""

    subject: str
    measurement: Measurement


class Store:
    """The results of one series: figures of one kind of machine, torch version and so on, that may be compared.

    Args:
        folder: asv's ``results_dir``.
        machine: as ``describe_machine`` has it.
    """

    def __init__(self, folder: Path, machine: Mapping[str, str | int]) -> None:
        self.root, self.machine = folder, machine
        self.series = series_key(machine)
        self.folder = folder / self.series

    def load(self, sha: str) -> dict[Key, Kept]:
        """Return what is known of a commit.

        Raises:
            StoreError: there is a file, and it cannot be read.
        """
        data = self._results(sha)
        try:
            found = [Kept(entry["subject"], Measurement.of_dict(entry["measurement"])) for entry in data.get("mhsa", [])]
        except (TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"{self._file(sha)} is not as mhsa {__version__} writes it ({error!r}); move it away") from None
        return {key_of(kept.measurement): kept for kept in found}

    def save(self, commit: Commit, kept: Sequence[Kept], took: float) -> None:
        """Add measurements to a commit's results; those of other parameters stay.

        Raises:
            StoreError: it cannot be written; what was there is as it was.
        """
        data = self._results(commit.sha)
        new = {key_of(k.measurement): k for k in kept}
        every = {**self.load(commit.sha), **new}
        now = int(time.time() * 1000)
        columns: list[str] = list(dict.fromkeys([*_COLUMNS, *data.get("result_columns", ())]))
        results = {
            name: _complete(dict(zip(data["result_columns"], row, strict=False)), columns)
            for name, row in data.get("results", {}).items()
        }
        for name in NAMES:
            values = {as_params(key): figure(name, k.measurement) for key, k in new.items()}
            results[name] = _row(results.get(name), columns, values, started=now, took=took)
        whole = {
            "commit_hash": commit.sha, "env_name": ENVIRONMENT, "date": commit.date * 1000, "params": self._params(),
            "python": platform.python_version(), "requirements": {}, "env_vars": {}, "result_columns": columns,
            "results": results, "durations": {}, "version": 2,
            "mhsa": [{"subject": k.subject, "measurement": k.measurement.as_dict()} for k in every.values()],
        }  # fmt: skip
        self._write(self.folder / "machine.json", json.dumps(self._described(), indent=4, sort_keys=True))
        index = self.root / "benchmarks.json"
        benchmarks = {**merged({n: b for n, b in _read(index).items() if n != "version"}, list(every)), "version": 2}
        self._write(index, json.dumps(benchmarks, indent=4))
        self._write(self._file(commit.sha), json.dumps(whole))

    def require_writable(self) -> None:
        """Raise StoreError, before anything is measured, where nothing could be written; remove what a killed run began."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe.{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreError(self._unwritable(error)) from None
        for left in (*self.folder.glob(".*.json.*"), *self.root.glob(".*.json.*")):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _OLD:
                    left.unlink()
        _read(self.root / "benchmarks.json")

    def _file(self, sha: str) -> Path:
        return self.folder / f"{sha[:8]}-{ENVIRONMENT}.json"

    def _results(self, sha: str) -> dict[str, Any]:
        path = self._file(sha)
        data = _read(path)
        if data and data.get("commit_hash") != sha:
            raise StoreError(f"{path} is of the commit {data.get('commit_hash')}, not {sha}; move it away")
        return data

    def _params(self) -> dict[str, str]:
        """What decides about the series, and nothing that changes from hour to hour: asv draws a line for each value."""
        common = {name: str(self.machine[name]) for name in IN_COMMON if name in self.machine and name != "device"}
        return {"machine": self.series, **common}  # the device is a parameter of the benchmarks already

    def _described(self) -> dict[str, Any]:
        about = {name: str(value) for name, value in self.machine.items()}
        return {**about, "machine": self.series, "arch": platform.machine(), "num_cpu": about.get("cores", ""), "version": 1}

    def _write(self, path: Path, text: str) -> None:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}")  # asv reads what ends in .json, and so not this
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise StoreError(self._unwritable(error)) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> str:
        return (
            f"results cannot be written to {self.folder}: {error.strerror}; what was written before is as it was; free some "
            "space, or name another folder with --results"
        )


def _read(path: Path) -> dict[str, Any]:
    """Return what a file of asv holds; nothing where there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; move it away, or name another folder with --results") from None
    if not isinstance(data, dict):
        raise StoreError(f"{path} holds no results of asv; move it away, or name another folder with --results")
    return data


def _complete(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    return [row.get(column) for column in columns]


def _row(
    there: Sequence[Any] | None, columns: Sequence[str], values: Mapping[tuple[str, ...], Any], *, started: int, took: float
) -> list[Any]:
    """Return a benchmark's row with new values in it; what it has for other parameters stays."""
    old = dict(zip(columns, there, strict=True)) if there else {}
    kept: dict[tuple[str, ...], Any] = {}
    fits = old.get("version") == Suite.version and len(old.get("params") or ()) == len(Suite.param_names)
    axes = old["params"] if fits else [[] for _ in Suite.param_names]
    if fits:
        every = list(itertools.product(*axes))
        kept = dict(zip(every, old["result"] or [None] * len(every), strict=False))
    axes = union(axes, values)
    new = {
        "result": spread({**kept, **values}, axes, NOT_ASKED), "params": axes, "version": Suite.version,
        "started_at": started, "duration": round(took, 3),
    }  # fmt: skip
    return [new.get(column) for column in columns]  # samples and the like of other figures would not fit these
