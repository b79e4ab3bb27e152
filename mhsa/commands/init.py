"""``mhsa init``: a starting point in a user's repository. What exists there is never changed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa.bench.history.asv_publish import is_installed
from mhsa.commands.init_files.plan import InitPlan, mentions
from mhsa.commands.init_files.template import template
from mhsa.commands.init_files.workflow import steps, workflow
from mhsa.commands.options.init import InitArguments
from mhsa.commands.try_subjects import look
from mhsa.records.configuration import Configuration, ConfigurationError, read
from mhsa.records.declarations import in_words
from mhsa.records.distribution import NAME, install_hint, origin
from mhsa.records.errors import UsageError
from mhsa.records.understood import pinned
from mhsa.source.find_subject import checked, only_candidate

if TYPE_CHECKING:
    from mhsa.records.results import SubjectResult

_TOML = Path("pyproject.toml")
_TEST = Path("tests/test_attention_properties.py")
_WORKFLOW = Path(".github/workflows/attention.yml")
_ASV = Path("asv.conf.json")
_BENCHMARK = Path("benchmarks/attention.py")
_PYTEST_BENCHMARK = Path("benchmarks/test_speed.py")


def init(args: InitArguments) -> int:
    """Import what is new, plan what is not there yet, write it, and say what was done and what comes next."""
    text, document, configuration = _read_toml()
    specs = _new_subjects(args.subjects, configuration)
    plan = _plan(args, text, document, _tables(specs, configuration))
    plan.require_folders()
    if specs:  # what is found by calling them is pinned
        tables = _tables(specs, configuration, _require_understood(specs, configuration))
        plan = _plan(args, text, document, tables)
    if args.dry_run:
        plan.show()
        return 0
    plan.carry_out()
    plan.print_done()
    if args.ci:
        _say_where_workflows_belong()
        _say_what_to_fill_in(plan)
    _say_what_comes_next()
    return 0


def _plan(args: InitArguments, text: str, document: dict[str, Any], tables: str) -> InitPlan:
    plan = InitPlan()
    _plan_configuration(plan, text, document, tables)
    plan.write(_TEST, template("test.py"), "mhsa.verifies")
    if args.ci:
        content = workflow(_install(document), origin())
        plan.write(_WORKFLOW, content, "mhsa verify", f"in the steps of a job in {_WORKFLOW}", steps(content))
    if args.bench:
        _plan_benchmarks(plan, Path.cwd().name)
    return plan


def _new_subjects(named: list[str], configuration: Configuration) -> list[str]:
    """Return what is to be configured: what was named, or the one candidate where nothing is configured yet."""
    configured = {request.spec for request in configuration.requests}
    if not named and not configured:
        found = only_candidate()
        print(f"found {found}", flush=True)  # importing it takes seconds
        return [found]
    labels = {request.label for request in configuration.requests}
    return [spec for spec in dict.fromkeys(checked(name) for name in named if name not in labels) if spec not in configured]


def _require_understood(specs: list[str], configuration: Configuration) -> dict[str, dict[str, Any]]:
    """Return how each subject is read, as a contract.

    Raises:
        UsageError: a subject cannot be imported, built or called, or is a question; it gives the lines that answer it.
    """
    results = look(specs)
    bad = [result for result in results if result.question or result.reason]
    if bad:
        raise UsageError(_problem(bad, configuration))
    return {result.subject: pinned(result.reading) for result in results}


def _problem(bad: list[SubjectResult], configuration: Configuration) -> str:
    message = "\n".join(r.why if r.subject in r.why else f"{r.subject}: {r.why}" for r in bad) + "; nothing was written"
    if unclear := [r.subject for r in bad if r.question]:
        answers = {r.subject: r.declaration for r in bad if r.question}
        how = "if that is meant" if all(answers.values()) else "with the answer"
        message += f". Add this to {_TOML}, {how}, and run mhsa init again:\n\n{_tables(unclear, configuration, answers)}"
    return message


def _plan_configuration(plan: InitPlan, text: str, document: dict[str, Any], tables: str) -> None:
    """Plan [tool.mhsa], or the tables of new subjects at the end of a file that has it."""
    if "mhsa" not in document.get("tool", {}):
        table = template("pyproject.toml", SUBJECT=tables)
        addition = _at_the_end(text, table)
        if addition is None:  # `tool = { ... }` in one line, say
            raise UsageError(
                f"{_TOML}: no table [tool.mhsa] can stand at its end, so nothing was written; add this by hand:\n\n{table}"
            )
        plan.add(_TOML, addition)
        return
    addition = _at_the_end(text, f"{tables}\n") if tables else None
    if addition is None:
        plan.keep(f"{_TOML}: [tool.mhsa] exists", tables, f"in {_TOML}")
    else:
        plan.add(_TOML, addition)


def _plan_benchmarks(plan: InitPlan, project: str) -> None:
    """Plan what asv needs, or nothing of it: a user's own set-up would not go together with half of ours."""
    configuration = template("asv.conf.json", PROJECT=json.dumps(project, ensure_ascii=False))
    benchmark = template("benchmark.py")
    there = [path for path in (_ASV, _BENCHMARK.parent) if path.exists() or path.is_symlink()]
    if not there:
        plan.write(_ASV, configuration)
        plan.write(_BENCHMARK.parent / "__init__.py", "")  # asv stops where there is none
        plan.write(_BENCHMARK, benchmark)
        plan.write(_PYTEST_BENCHMARK, template("pytest_benchmark.py"))
    for path in there:
        plan.keep(f"{path}: it exists")
    if there and not mentions(_BENCHMARK, "mhsa.asv"):
        plan.by_hand.append((f"as {_BENCHMARK.name} among your benchmarks", benchmark))
    if there and _ASV not in there:
        plan.by_hand.append((f"as {_ASV}, if asv runs your benchmarks", configuration))


def _read_toml() -> tuple[str, dict[str, Any], Configuration]:
    """Return the text of pyproject.toml, what it says, and what its [tool.mhsa] says."""
    if not _TOML.exists():
        return "", {}, Configuration()
    try:
        configuration = read(_TOML)
    except ConfigurationError as error:
        raise UsageError(f"{error}; nothing was written") from error
    text = _TOML.read_bytes().decode("utf-8")
    return text, tomllib.loads(text), configuration


def _at_the_end(text: str, table: str) -> str | None:
    """Return what is to be appended to a text, with its kind of line ends; None where no table can stand there."""
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    addition = (gap + table).replace("\n", "\r\n" if "\r\n" in text else "\n")
    try:
        tomllib.loads(text + addition)
    except tomllib.TOMLDecodeError:
        return None
    return addition


def _tables(specs: list[str], configuration: Configuration, contracts: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Return a table for each subject, called after its class or its file, with the contract that it is read by."""
    taken = {request.label for request in configuration.requests}
    tables = []
    for spec in specs:
        stem = re.split(r"[/:]", spec.removesuffix(".py"))[-1].rpartition(".")[2]
        name, n = stem, 2
        while name in taken:
            name, n = f"{stem}-{n}", n + 1
        taken.add(name)
        key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
        contract = (contracts or {}).get(spec)
        line = f"\ncontract = {{ {in_words(contract)} }}" if contract else ""
        tables.append(f"[tool.mhsa.subjects.{key}]\nsubject = {json.dumps(spec, ensure_ascii=False)}{line}")
    return "\n\n".join(tables)


def _install(document: dict[str, Any]) -> str:
    """Return the command that installs the user's project, or what it needs."""
    if "project" in document or "build-system" in document or Path("setup.py").is_file():
        return "python -m pip install -e ."
    if Path("requirements.txt").is_file():
        return "python -m pip install -r requirements.txt"
    return "# python -m pip install ...: what your modules import, apart from torch"


def _say_where_workflows_belong() -> None:
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    if root != here:
        print(f"\nGitHub looks for workflows in the repository's root only: move {_WORKFLOW} to {root}")
        print(f"and add to it: defaults: {{ run: {{ working-directory: {here.relative_to(root).as_posix()} }} }}")


def _say_what_to_fill_in(plan: InitPlan) -> None:
    folder = origin().folder
    if folder and plan.writes(_WORKFLOW):
        print(f"\nto be filled in: MHSA_INSTALL in {_WORKFLOW}")
        print(f"{NAME} was installed here from {folder}, which no other machine has.")
        print("Until that is filled in the workflow fails, and says so.")


def _say_what_comes_next() -> None:
    speed = [
        ("mhsa bench", "time and memory over the length"),
        ("mhsa history", "the same at each commit, by asv"),
        ("mhsa compare HEAD~1", "whether a commit made it slower"),
    ]
    following = [
        ("mhsa verify", "what holds, what fails, and why"),
        (f"pytest {_TEST.as_posix()}", "the same in your own tests"),
        *([] if _WORKFLOW.exists() else [("mhsa init --ci", "a workflow for GitHub")]),
        *(speed if _BENCHMARK.exists() else [("mhsa init --bench", "benchmarks over commits")]),
    ]
    width = max(len(command) for command, _ in following)
    print()
    for n, (command, purpose) in enumerate(following):
        print(f"{'' if n else 'next':4}  {command:{width}}  {purpose}")
    if _BENCHMARK.exists() and not is_installed():
        print(f"\nmhsa history needs asv: {install_hint('asv')}")
