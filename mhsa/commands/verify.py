"""``mhsa verify``: from arguments and configuration to verdicts, reports and an exit code."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa import __version__
from mhsa.commands.frame import Frame, frame
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.options.verify import JudgeArguments, VerifyArguments
from mhsa.records.configuration import Configuration, find, read
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.distribution import install_hint
from mhsa.records.errors import UsageError
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.run.process_limits import default_memory
from mhsa.run.workers import default_workers

if TYPE_CHECKING:
    from mhsa.records.diagnosis import Diagnosis
    from mhsa.records.results import SubjectResult
    from mhsa.reports.write import JudgedRun


def verify(args: VerifyArguments) -> int:
    """Judge subjects, show every verdict, write the reports."""
    from rich.text import Text

    from mhsa.commands.several.declared_for_all import judge_parts
    from mhsa.commands.subject_tables.write_baseline import write_baseline
    from mhsa.records.results import exit_code
    from mhsa.reports.line_folding import hanging, show
    from mhsa.reports.tables import subject_table
    from mhsa.reports.terminal import print_subject
    from mhsa.reports.write import report

    with frame(args.files, no_color=args.no_color) as out:
        _require_coverage(args)
        configuration = configured(args.config)
        alone = bool(args.keyword) or args.exit_first or args.coverage
        options = options_of(args, args.subjects, configuration, alone=alone)
        options = replace(
            options,
            keyword=args.keyword,
            exit_first=args.exit_first,
            coverage=args.coverage,
            database=args.database or options.database,
        )
        strict = args.strict or configuration.strict
        found = judge(out, options, diagnosis=args.diagnosis, verbose=args.verbose)
        options, found = judge_parts(
            options, found, lambda o: judge(out, o, diagnosis=args.diagnosis, verbose=args.verbose, header=False)
        )
        found = replace(found, strict=strict)
        code = exit_code(found.results, strict=strict)
        if args.exit_zero and code == 1:
            code = 0
        judged = [result.as_judged(request) for request, result in zip(options.requests, found.results, strict=True)]
        report(out.files, found, folder_of_cases(args.cases, configuration), judged, code, github=args.github)
    alone = len(found.results) == 1
    for request, result in zip(judged, found.results, strict=True):
        diagnosis = found.diagnoses.get(result.label)
        print_subject(found.console, result, request, found.known, diagnosis, verbose=args.verbose, alone=alone)
    if not alone:
        show(found.console, [Text(), *subject_table(found.results, found.console.width)])
    if args.write_baseline and not found.interrupted:  # at last: if it cannot be written, everything else is shown already
        for words in write_baseline(configuration, options.requests, found.results, found.diagnoses):
            show(found.console, hanging("", words, found.console.width))
    warnings = sum(len(result.warnings) for result in found.results)
    if strict and warnings:
        found.console.print(f"  strict: {warnings} {'warnings count' if warnings > 1 else 'warning counts'} as a violation")
    if strict and (left := [r.label for r in found.results if r.open]):
        words = f"  strict: the exit code is {code}, because something of {', '.join(left)} was not judged"
        words += "; not_judged = [...] in its table accepts it"
        found.console.print(words, highlight=False, markup=False, soft_wrap=True)
    if found.interrupted:
        print("mhsa: interrupted; the reports have the results until then and are marked as partial", file=sys.stderr)
    return code


def _require_coverage(args: VerifyArguments) -> None:
    if args.coverage and importlib.util.find_spec("coverage") is None:
        raise UsageError(f"--coverage needs the package coverage: {install_hint('coverage')}")
    if args.coverage and args.workers is not None and args.workers > 1:
        raise UsageError(f"--coverage measures one process only; given was -n {args.workers}")


def configured(config: Path | None) -> Configuration:
    """Read the configuration that applies: of ``--config``, or of the folder.

    Raises:
        UsageError: there is no such file, or something in it is wrong.
    """
    if config is not None and not config.is_file():
        raise UsageError(f"--config {config}: there is no such file")
    return read(config or find(Path.cwd()))


def options_of(args: JudgeArguments, names: Sequence[str], configuration: Configuration, *, alone: bool = False) -> Options:
    """Return how the named subjects are judged: the command line goes before the configuration.

    Args:
        args: the command line.
        names: of the subjects.
        configuration: the user's.
        alone: whether one process judges, unless the command line says how many.
    """
    database = configuration.database
    if configuration.path is not None and database:
        database = str(configuration.path.parent / database)
    requests = tuple(
        declared_by(args.contract, args.argument, _override(args, request)) for request in _requests(names, configuration)
    )
    return Options(
        requests=requests,
        workers=default_workers(requests, alone=alone) if args.workers is None else max(1, args.workers),
        timeout=args.timeout or configuration.timeout,
        memory=args.memory or configuration.memory or default_memory(),
        database=database,
    )


def _requests(names: Sequence[str], configuration: Configuration) -> tuple[Request, ...]:
    requests = named(names, configuration) if names else configuration.requests
    if not requests:
        from mhsa.commands.no_subject import nothing_named

        raise UsageError(nothing_named(configuration))
    return requests


def named(names: Sequence[str], configuration: Configuration) -> tuple[Request, ...]:
    """Return the requests that names stand for: labels of configured subjects, or objects; raise a UsageError otherwise."""
    by_label = {r.label: r for r in configuration.requests}
    found = []
    for name in dict.fromkeys(names):
        if not name.strip():
            raise UsageError(f"{name!r} names no subject; write package.module:attr, or path/file.py[:attr]")
        if name in by_label:
            found.append(by_label[name])
        elif by_label and ":" not in name and not name.endswith((".py", ".ipynb")) and not Path(name).is_dir():
            import difflib

            near = difflib.get_close_matches(name, by_label, n=1)
            raise UsageError(
                f"{name!r} is neither a configured subject ({', '.join(by_label)}) nor package.module:attr or path/file.py"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        else:
            found.append(Request.of(name))
    return tuple(found)


def _override(args: JudgeArguments, request: Request) -> Request:
    seed = args.seed
    profile = args.profile or request.profile
    if seed is None:
        seed = secrets.randbelow(2**32) if profile == "thorough" and not request.seed else request.seed
    dtypes = tuple(dict.fromkeys(args.dtype)) or request.dtypes
    return replace(request, profile=profile, seed=seed, dtypes=dtypes, device=args.device or request.device)


def folder_of_cases(cases: Path | None, configuration: Configuration) -> Path:
    """Return where the cases of failures are saved: in ``--cases``, or as configured."""
    if cases is not None:
        return cases
    here = Path.cwd() if configuration.path is None else configuration.path.parent
    return here / configuration.cases


def judge(
    out: Frame, options: Options, *, diagnosis: bool, picture: bool = False, verbose: bool = False, header: bool = True
) -> JudgedRun:  # fmt: skip
    """Run, with progress, and find the causes of what fails. An interrupted run gives what it has."""
    from mhsa.bugs.diagnosis.client import DiagnosisClient
    from mhsa.records.catalogue import catalogue
    from mhsa.records.failures.expected_failures import compare_causes
    from mhsa.reports.progress import Progress
    from mhsa.reports.terminal import print_header
    from mhsa.reports.write import JudgedRun
    from mhsa.run.runner import Event, Interrupted, run

    console = out.console
    known = {p.id: p for p in catalogue()}
    environment = environment_of(options)
    if header:
        print_header(console, environment, verbose=verbose)
    interrupted = False
    results: list[SubjectResult] = []
    diagnoses: dict[str, Diagnosis] = {}
    labels = [r.label for r in options.requests]
    with DiagnosisClient(options, picture=picture) as client, Progress(console, labels, len(known)) as progress:

        def listen(event: Event) -> None:
            progress(event)
            if diagnosis:
                client.hear(event)

        try:
            results = run(options, listen)
            if diagnosis and any(result.verdict == "violated" for result in results):
                progress(Event("looking for the cause"))
            diagnoses = compare_causes(options.requests, results, client.conclude(results)) if diagnosis else {}
        except Interrupted as stopped:
            results, interrupted = stopped.results, True
        except KeyboardInterrupt:  # every verdict is there already, so the run counts as whole
            if not results:
                raise
            print("mhsa: interrupted while the cause was looked for", file=sys.stderr)
    return JudgedRun(results, diagnoses, known, environment, console, interrupted)


def environment_of(options: Options) -> dict[str, Any]:
    """Versions and conditions; read from package metadata, so nothing heavy is imported."""
    versions = {name: _version(name) for name in ("torch", "numpy", "hypothesis")}
    requests = options.requests
    return {
        "mhsa": __version__,
        "python": platform.python_version(),
        **versions,
        "device": _all_of(r.device for r in requests),
        "dtypes": _all_of("+".join(r.dtypes or DEFAULT_DTYPES) for r in requests),
        "profile": _all_of(r.profile for r in requests),
        "seed": requests[0].seed if len({r.seed for r in requests}) == 1 else _all_of(str(r.seed) for r in requests),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # built from source and put on the path, say
        return "unknown"


def _all_of(words: Any) -> str:
    return ", ".join(dict.fromkeys(words))
