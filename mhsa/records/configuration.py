"""``[tool.mhsa]`` of the user's pyproject.toml: what is judged there, and how. Every mistake is reported with file and line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.records.errors import UsageError
from mhsa.records.pyproject.bench_calls import BenchCall, wrong_in
from mhsa.records.pyproject.key_lines import KeyLines
from mhsa.records.pyproject.known_keys import BENCH, EFFORT, EXPECTED, SUBJECT, TEXT, TOP, ValueKind
from mhsa.records.pyproject.memory_size import size
from mhsa.records.request import Expected, Request, nearest_id


class ConfigurationError(UsageError):
    """The configuration cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Configuration:
    """What a pyproject.toml says.

    Attributes:
        path: of the file; None where there is none with ``[tool.mhsa]``.
        requests: the configured subjects.
        timeout: seconds for one property, or None.
        memory: bytes for a subject's process, or None.
        strict: whether what is odd (an expected failure that passes, say) fails the run.
        cases: folder for the cases of failures, relative to the file.
        database: folder of Hypothesis' example database, or empty.
        calls: that ``mhsa bench`` times, as ``mhsa bench --record`` has found them.
    """

    path: Path | None = None
    requests: tuple[Request, ...] = ()
    timeout: float | None = None
    memory: int | None = None
    strict: bool = False
    cases: str = ".mhsa/cases"
    database: str = ""
    calls: tuple[BenchCall, ...] = ()


def find(start: Path) -> Path | None:
    """Return the nearest pyproject.toml with ``[tool.mhsa]``, in a folder or above it."""
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / "pyproject.toml"
        if path.is_file() and _is_about_us(path):
            return path
    return None


def _is_about_us(path: Path) -> bool:
    """Whether a file has ``[tool.mhsa]``, or seems to and cannot be parsed: then :func:`read` reports why."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return True
    if "mhsa" not in text:
        return False
    try:
        tool = tomllib.loads(text).get("tool")
    except (ValueError, RecursionError):
        return re.search(r"^\s*\[+\s*tool\s*\.\s*mhsa\b|^\s*(tool\s*\.\s*)?mhsa\s*[.=]", text, re.MULTILINE) is not None
    return isinstance(tool, dict) and "mhsa" in tool


def read(path: Path | None) -> Configuration:
    """Read the configuration of a file.

    Raises:
        ConfigurationError: it is invalid TOML, or has unknown keys or values.
    """
    if path is None:
        return Configuration()
    try:
        text = path.read_text(encoding="utf-8")
        tool = tomllib.loads(text).get("tool", {})
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8: {error.reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply") from None
    except ValueError as error:  # no TOML, or a number of more digits than Python reads
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(tool, dict):
        raise ConfigurationError(f"{path}: tool is {_shown(tool)}; must be a table")
    return _TableReader(path, text).configuration(tool.get("mhsa", {}))


_LONGEST = 400  # characters of a message that are worth a line


class _TableReader:
    """Checks the tables of one file, and says in which line a mistake is."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = KeyLines(text)

    def configuration(self, table: Any) -> Configuration:
        if not isinstance(table, dict):
            self.refuse((), "", f"tool.mhsa is {_shown(table)}; must be a table")
        self.check(table, TOP, ())
        effort = {k: tuple(v) if k == "dtypes" else v for k, v in table.items() if k in EFFORT}
        given = {k: table[k] for k in ("timeout", "strict", "cases", "database") if k in table}
        requests = tuple(self.request(name, entry, effort) for name, entry in table.get("subjects", {}).items())
        given["calls"] = self.calls(table.get("bench", {}))
        return Configuration(self.path, requests, memory=size(table["memory"]) if "memory" in table else None, **given)

    def calls(self, table: dict[str, Any]) -> tuple[BenchCall, ...]:
        self.check(table, BENCH, ("bench",))
        for n, entry in enumerate(table.get("calls", [])):
            key, words = wrong_in(entry)
            if words:
                self.refuse(("bench", "calls"), key, words, n, entry.get(key))
        return tuple(map(BenchCall.of_table, table.get("calls", [])))

    def request(self, name: str, entry: Any, effort: dict[str, Any]) -> Request:
        where = ("subjects", name)
        if isinstance(entry, str):  # short for { subject = "..." }
            entry = {"subject": entry}
        if not TEXT.fits(name):
            self.refuse(("subjects",), name, f"a subject is called {_shown(name)}; must be {TEXT.words}")
        if not isinstance(entry, dict):
            self.refuse(("subjects",), name, f"{name} is {_shown(entry)}; must be a table, or the subject as a text")
        self.check(entry, SUBJECT, where)
        if ("subject" in entry) == ("build" in entry):
            both = "build" if "build" in entry else ""
            self.refuse(where, both, 'needs either subject = "package.module:attr" or build = "package.module:function"')
        if "build" in entry and "submodule" not in entry:
            self.refuse(where, "build", 'build makes a whole model, so it needs submodule = "encoder.layers.0.self_attn", say')
        expected = []
        for n, entry_expected in enumerate(entry.get("expected_failures", [])):
            self.check(entry_expected, EXPECTED, (*where, "expected_failures"), n)
            if "property" not in entry_expected:
                self.refuse((*where, "expected_failures"), "", "an expected failure needs the id of a property", n)
            self.check_property(entry_expected["property"], (*where, "expected_failures"), n)
            rest = {k: v.strip() for k, v in entry_expected.items() if k != "property"}
            expected.append(Expected(entry_expected["property"], **rest))
        self.check_contract(entry.get("contract", {}), (*where, "contract"))
        own = {k: tuple(v) if k in ("dtypes", "not_judged") else v for k, v in entry.items() if k != "expected_failures"}
        return Request(name, folder=str(self.path.parent), expected=tuple(expected), **(effort | own))

    def check_property(self, given: str, where: tuple[str, ...], nth: int) -> None:
        """Refuse an id or a pattern that fits no property, with the nearest id: it would expect nothing for ever."""
        from mhsa.records.catalogue import catalogue

        known = [p.id for p in catalogue()]
        if any(Expected(given).fits(identity) for identity in known):
            return
        if given == "judged.everything":
            words = "what is not judged is accepted by name: not_judged = ['argument is_causal'], say"
            self.refuse(where, "property", f"no property is called {given}; {words}", nth, given)
        near = nearest_id(given, known)
        hint = f"did you mean {near}?" if near else "`mhsa properties` lists them"
        what = "pattern fits no property" if set("*?[") & set(given) else "no property has that id"
        self.refuse(where, "property", f"property = {_shown(given)}; {what}; {hint}", nth, given)

    def check_contract(self, given: dict[str, Any], where: tuple[str, ...]) -> None:
        from mhsa.records.declarations import problem

        wrong, words = problem(given)
        if words:
            self.refuse(where, wrong, words)

    def check(self, table: dict[str, Any], known: Mapping[str, ValueKind], where: tuple[str, ...], nth: int = 0) -> None:
        """Refuse keys that are not known, with the nearest one, and values that are not of their kind."""
        for key, value in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self.refuse(where, key, f"unknown key {_shown(key)}; {hint}", nth)
            if not known[key].fits(value):
                words = f"must be {known[key].words}{known[key].nearest(value)}"
                self.refuse(where, key, f"{key} = {_shown(value)}; {words}", nth, value)

    def refuse(self, where: tuple[str, ...], key: str, problem: str, nth: int = 0, value: Any = None) -> Any:
        table = ("tool", "mhsa", *where)
        problem = problem if len(problem) <= _LONGEST else f"{problem[:_LONGEST]}..."
        raise ConfigurationError(f"{self.path}:{self.lines.line_of(table, key, nth, value)}: [{'.'.join(table)}] {problem}")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "nested too deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."
