"""``mhsa verify``: from what was asked and configured to verdicts, reports and an exit code."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa import __version__
from mhsa.commands.options.declarations import declared_by
from mhsa.records.configuration import Configuration, ConfigurationError, find, read
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.distribution import install_hint
from mhsa.records.errors import refuse
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.run.process_limits import default_memory

if TYPE_CHECKING:
    from mhsa.records.diagnosis import Diagnosis
    from mhsa.records.results import SubjectResult
    from mhsa.reports.write import Found


def verify(given: argparse.Namespace) -> int:
    """Judge subjects, show every verdict, write the reports."""
    from rich.text import Text

    from mhsa.commands.write_baseline import write_baseline
    from mhsa.records.results import exit_code
    from mhsa.reports.line_folding import hanging, show
    from mhsa.reports.tables import subject_table
    from mhsa.reports.terminal import print_subject
    from mhsa.reports.write import report, require_places

    require_places(given)
    _require_coverage(given)
    configuration = configured(given)
    options = options_of(given, configuration)
    strict = given.strict or configuration.strict
    found = replace(judge(given, options, diagnosis=given.diagnosis), strict=strict)
    code = exit_code(found.results, strict=strict)
    if given.exit_zero and code == 1:
        code = 0
    judged = [result.as_judged(request) for request, result in zip(options.asked, found.results, strict=True)]
    report(given, found, folder_of_cases(given, configuration), judged, code)
    alone = len(found.results) == 1
    for request, result in zip(judged, found.results, strict=True):
        diagnosis = found.diagnoses.get(result.label)
        print_subject(found.console, result, request, found.known, diagnosis, verbose=given.verbose, alone=alone)
    if not alone:
        show(found.console, [Text(), *subject_table(found.results, found.console.width)])
    if given.write_baseline and not found.interrupted:  # at last: where it cannot be written all is told already
        for words in write_baseline(configuration, options.asked, found.results, found.diagnoses):
            show(found.console, hanging("", words, found.console.width))
    warnings = sum(len(result.warnings) for result in found.results)
    if strict and warnings:
        found.console.print(f"  strict: {warnings} {'warnings count' if warnings > 1 else 'warning counts'} as a violation")
    if strict and (left := [r.label for r in found.results if r.open]):
        words = f"  strict: the exit code is {code}, because something of {', '.join(left)} was not judged"
        words += "; not_judged = [...] in its table accepts it"
        found.console.print(words, highlight=False, markup=False, soft_wrap=True)
    if found.interrupted:
        print("mhsa: interrupted; what was found until then stands in the reports, marked as partial", file=sys.stderr)
    return code


def _require_coverage(given: argparse.Namespace) -> None:
    if given.coverage and importlib.util.find_spec("coverage") is None:
        refuse(f"--coverage needs the package coverage: {install_hint('coverage')}")
    if given.coverage and given.workers > 1:
        refuse(f"--coverage watches one process; given was -n {given.workers}")


def configured(given: argparse.Namespace) -> Configuration:
    """Read the configuration that applies; leave with 2 where it is wrong."""
    path = given.config or find(Path.cwd())
    if given.config is not None and not given.config.is_file():
        refuse(f"--config {given.config}: there is no such file")
    try:
        return read(path)
    except ConfigurationError as error:
        refuse(str(error))


def options_of(given: argparse.Namespace, configuration: Configuration) -> Options:
    """Put together what is asked for: the command line goes before the configuration."""
    requests = tuple(declared_by(given, _override(given, r)) for r in _requests(given, configuration))
    database = getattr(given, "database", "") or configuration.database
    if configuration.path is not None and configuration.database and not getattr(given, "database", ""):
        database = str(configuration.path.parent / database)
    return Options(
        requests=requests,
        keyword=getattr(given, "keyword", ""),
        exit_first=getattr(given, "exit_first", False),
        workers=given.workers,
        timeout=given.timeout or configuration.timeout,
        memory=given.memory or configuration.memory or default_memory(),
        database=database,
        coverage=getattr(given, "coverage", False),
    )


def _requests(given: argparse.Namespace, configuration: Configuration) -> tuple[Request, ...]:
    names: list[str] = given.subjects if hasattr(given, "subjects") else [given.subject]
    requests = named(names, configuration) if names else configuration.requests
    if not requests:
        from mhsa.commands.no_subject import nothing_named

        refuse(nothing_named(configuration))
    return requests


def named(names: Sequence[str], configuration: Configuration) -> tuple[Request, ...]:
    """Return the requests that names stand for: labels of configured subjects, or objects; leave with 2 for any other."""
    by_label = {r.label: r for r in configuration.requests}
    found = []
    for name in dict.fromkeys(names):
        if not name.strip():
            refuse(f"{name!r} names no subject; write package.module:attr, or path/file.py[:attr]")
        if name in by_label:
            found.append(by_label[name])
        elif by_label and ":" not in name and not name.endswith((".py", ".ipynb")) and not Path(name).is_dir():
            import difflib

            near = difflib.get_close_matches(name, by_label, n=1)
            refuse(
                f"{name!r} is neither a configured subject ({', '.join(by_label)}) nor package.module:attr or path/file.py"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        else:
            found.append(Request(name, name))
    return tuple(found)


def _override(given: argparse.Namespace, request: Request) -> Request:
    seed = given.seed
    profile = given.profile or request.profile
    if seed is None:
        seed = secrets.randbelow(2**32) if profile == "thorough" and not request.seed else request.seed
    dtypes = tuple(dict.fromkeys(given.dtype)) or request.dtypes
    return replace(request, profile=profile, seed=seed, dtypes=dtypes, device=given.device or request.device)


def folder_of_cases(given: argparse.Namespace, configuration: Configuration) -> Path:
    """Return where the cases of failures are saved."""
    if getattr(given, "cases", None) is not None:
        return Path(given.cases)
    here = Path.cwd() if configuration.path is None else configuration.path.parent
    return here / configuration.cases


def judge(given: argparse.Namespace, options: Options, *, diagnosis: bool, picture: bool = False) -> Found:
    """Run, with progress, and find the causes of what fails. An interrupted run gives what it has."""
    from mhsa.bugs.diagnosis.client import Inquiry
    from mhsa.records.catalogue import catalogue
    from mhsa.records.expected_failures import compare_causes
    from mhsa.reports.line_folding import wide_console
    from mhsa.reports.progress import Progress
    from mhsa.reports.terminal import print_header
    from mhsa.reports.write import Found
    from mhsa.run.runner import CannotRun, Event, Interrupted, run

    # With the results on the standard output, words for people go beside it.
    console = wide_console(no_color=given.no_color, stderr=str(given.json) == "-")
    known = {p.id: p for p in catalogue()}
    environment = environment_of(options)
    print_header(console, environment, verbose=getattr(given, "verbose", False))
    signal.signal(signal.SIGTERM, as_interrupt)
    interrupted = False
    results: list[SubjectResult] = []
    diagnoses: dict[str, Diagnosis] = {}
    labels = [r.label for r in options.asked]
    with Inquiry(options, picture=picture) as inquiry, Progress(console, labels, len(known)) as progress:

        def listen(event: Event) -> None:
            progress(event)
            if diagnosis:
                inquiry.hear(event)

        try:
            results = run(options, listen)
            if diagnosis and any(result.verdict == "violated" for result in results):
                progress(Event("looking for the cause"))
            diagnoses = compare_causes(options.asked, results, inquiry.conclude(results)) if diagnosis else {}
        except Interrupted as stopped:
            results, interrupted = stopped.results, True
        except CannotRun as error:
            refuse(str(error))
        except KeyboardInterrupt:  # every verdict is there already, so the run counts as whole
            if not results:
                refuse("interrupted; nothing was concluded")
            print("mhsa: interrupted while the cause was looked for", file=sys.stderr)
    return Found(results, diagnoses, known, environment, console, interrupted)


def as_interrupt(*_: object) -> None:
    """A pipeline that stops a job sends SIGTERM; it must find the same partial reports and no process left."""
    raise KeyboardInterrupt


def environment_of(options: Options) -> dict[str, Any]:
    """Versions and conditions; read from package metadata, so nothing heavy is imported."""
    versions = {name: _version(name) for name in ("torch", "numpy", "hypothesis")}
    asked = options.asked
    return {
        "mhsa": __version__,
        "python": platform.python_version(),
        **versions,
        "device": _all_of(r.device for r in asked),
        "dtypes": _all_of("+".join(r.dtypes or DEFAULT_DTYPES) for r in asked),
        "profile": _all_of(r.profile for r in asked),
        "seed": asked[0].seed if len({r.seed for r in asked}) == 1 else _all_of(str(r.seed) for r in asked),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # built from source and put on the path, say
        return "unknown"


def _all_of(words: Any) -> str:
    return ", ".join(dict.fromkeys(words))
