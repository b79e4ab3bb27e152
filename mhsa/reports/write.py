"""Writes what a run found to every place that was asked for; a full disk loses none of what can be said otherwise."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa.records.case_files.case_file import save
from mhsa.records.errors import UsageError
from mhsa.records.request import Request
from mhsa.records.results import as_data, as_json
from mhsa.reports.kept_cases import forget, keep_within
from mhsa.reports.terminal import reproduce

if TYPE_CHECKING:
    from rich.console import Console

    from mhsa.records.catalogue import Property
    from mhsa.records.diagnosis import Diagnosis
    from mhsa.records.results import SubjectResult


@dataclass(frozen=True)
class JudgedRun:
    """All that a run gave, and what it is shown with."""

    results: list[SubjectResult]
    diagnoses: dict[str, Diagnosis]
    known: dict[str, Property]
    environment: dict[str, Any]
    console: Console
    interrupted: bool = False
    strict: bool = False


def require_writable(files: Mapping[str, Path]) -> None:
    """Raise a UsageError if one of the files, by format, could not be written."""
    for name, path in files.items():
        if str(path) == "-":
            continue
        folder = path.resolve().parent
        if not folder.is_dir():
            raise UsageError(f"--{name} {path}: there is no folder {folder}")
        if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise UsageError(f"--{name} {path}: cannot be written")


def report(
    files: Mapping[str, Path], found: JudgedRun, cases: Path, requests: Sequence[Request], code: int, *, github: bool = False
) -> None:
    """Save the cases of failures and write the reports.

    Args:
        files: the reports to write, by format.
        found: what the run gave.
        cases: folder of the cases.
        requests: the subjects.
        code: the exit code.
        github: print annotations, as is always done in GitHub's CI.

    Raises:
        UsageError: after everything else is written, if something could not be.
    """
    problems = [*_save_cases(found, cases, requests)]
    data = as_data(found.results, found.environment, found.diagnoses, code=code, strict=found.strict)
    for subject, request in zip(data["subjects"], requests, strict=True):
        _complete(subject, request)
    problems += write_reports(files, {name: functools.partial(make, data) for name, make in _writers(found).items()})
    if github or os.environ.get("GITHUB_ACTIONS") == "true":
        from mhsa.reports.annotations import annotate

        # Commands are read from both streams; the standard output may be taken by JSON.
        for line in annotate(data):
            print(line, file=sys.stderr if str(files.get("json")) == "-" else sys.stdout)
    if problems:
        raise UsageError("; ".join(problems))


def write_reports(files: Mapping[str, Path], makers: Mapping[str, Callable[[], str | bytes]]) -> list[str]:
    """Write reports, and the one in Markdown, if there is one, to the summary of a step in GitHub's CI.

    Args:
        files: the reports to write, by format.
        makers: what makes the report of each format.

    Returns:
        What could not be written, after all the others are.
    """
    problems = []
    for name, make in makers.items():
        path = files.get(name)
        if path is None:
            continue
        try:
            write_report(path, make())
        except OSError as error:
            problems.append(f"--{name} {path}: {error.strerror}")
    if "markdown" in makers and os.environ.get("GITHUB_STEP_SUMMARY"):
        from mhsa.reports.markdown import append_to_step_summary

        if not append_to_step_summary(str(makers["markdown"]()), os.environ):
            problems.append("the step summary cannot be written")
    return problems


def write_report(path: Path, content: str | bytes) -> None:
    """Write one whole or not at all: a reader never finds half of one."""
    data = content.encode() if isinstance(content, str) else content
    if str(path) == "-":
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.buffer.write(content)
        sys.stdout.flush()
    elif path.exists() and not path.is_file():  # a pipe or a terminal
        path.write_bytes(data)
    else:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _writers(found: JudgedRun) -> dict[str, Callable[[dict[str, Any]], str]]:
    from mhsa.reports.junit import junit
    from mhsa.reports.markdown import markdown

    def html(data: dict[str, Any]) -> str:
        from mhsa.reports.html.page import page

        return page(data, found.known)

    return {"json": as_json, "junit": junit, "html": html, "markdown": markdown}


def _save_cases(found: JudgedRun, folder: Path, requests: Sequence[Request]) -> list[str]:
    """Save the case of every failure, and note in it where; forget those of what holds again; return what could not be."""
    saved: set[Path] = set()
    for result, request in zip(found.results, requests, strict=True):
        for n, p in enumerate(result.properties):
            if p.outcome in ("pass", "unexpected-pass"):
                forget(folder, request, p.id)
            if p.outcome != "fail" or (p.counterexample or {}).get("drawn") is None:
                continue
            try:
                path = save(folder, request, p, found.environment)
            except OSError as error:
                return [f"the cases of failures cannot be saved in {folder}: {error.strerror}"]
            saved.add(path)
            result.properties[n] = replace(p, counterexample={**(p.counterexample or {}), "file": _shown(path)})
    keep_within(folder, saved)
    return []


def _complete(subject: dict[str, Any], request: Request) -> None:
    if subject["place"] is not None:
        subject["place"]["file"] = _shown(Path(subject["place"]["file"]))
    for p in subject["properties"]:
        if p["outcome"] == "fail":
            p["reproduce"] = reproduce(request, p["id"])


def _shown(path: Path) -> str:
    """A path as a reader of this folder's reports knows it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
