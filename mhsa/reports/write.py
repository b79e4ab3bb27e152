"""Write the results of a run to every file that the command line names; one that cannot be written stops none of the others."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa.records.case_files.case_file import save
from mhsa.records.document.run import RunRecord
from mhsa.records.errors import UsageError
from mhsa.records.request import Request
from mhsa.records.results import as_data, as_json
from mhsa.reports.failure import reproduce
from mhsa.reports.kept_cases import forget, keep_within

if TYPE_CHECKING:
    from rich.console import Console

    from mhsa.records.catalogue import Property
    from mhsa.records.diagnosis import Diagnosis
    from mhsa.records.results import SubjectResult


@dataclass(frozen=True)
class JudgedRun:
    """The results of a run, and what they are shown with."""

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
    files: Mapping[str, Path], run: JudgedRun, cases: Path, requests: Sequence[Request], code: int, *, github: bool = False
) -> None:
    """Save the cases of failures and write the reports.

    Args:
        files: the reports to write, by format.
        run: what was found.
        cases: folder of the cases.
        requests: the subjects.
        code: the exit code.
        github: print annotations; in GitHub's CI they are always printed.

    Raises:
        UsageError: after everything else is written, if something could not be.
    """
    problems = [*_save_cases(run, cases, requests)]
    data = as_data(run.results, run.environment, run.diagnoses, code=code, strict=run.strict)
    for subject, request in zip(data["subjects"], requests, strict=True):
        _complete(subject, request)
    record = RunRecord.of(data)
    makers = {name: functools.partial(make, record) for name, make in _writers(run).items()}
    problems += write_reports(files, {"json": functools.partial(as_json, data), **makers})
    if github or os.environ.get("GITHUB_ACTIONS") == "true":
        from mhsa.reports.annotations import annotate

        # Commands are read from both streams; the standard output may be taken by JSON.
        for line in annotate(record):
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
    """Write a report whole or not at all."""
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
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _writers(run: JudgedRun) -> dict[str, Callable[[RunRecord], str]]:
    from mhsa.reports.junit import junit
    from mhsa.reports.markdown import markdown

    def html(record: RunRecord) -> str:
        from mhsa.reports.html.verdict_page import page

        return page(record, run.known)

    return {"junit": junit, "html": html, "markdown": markdown}


def _save_cases(run: JudgedRun, folder: Path, requests: Sequence[Request]) -> list[str]:
    """Save the case of every failure and note its path in the result; forget those of properties that hold; return problems."""
    saved: set[Path] = set()
    for result, request in zip(run.results, requests, strict=True):
        for n, p in enumerate(result.properties):
            if p.outcome in ("pass", "unexpected-pass"):
                forget(folder, request, p.id)
            if p.outcome != "fail" or (p.counterexample or {}).get("drawn") is None:
                continue
            try:
                path = save(folder, request, p, run.environment)
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
