"""``mhsa init``: a starting point in a user's repository. What exists there is never changed."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mhsa.configuration import Configuration, ConfigurationError, read
from mhsa.locating import checked, only_candidate
from mhsa.refusing import refuse

_TOML = Path("pyproject.toml")
_TEST = Path("tests/test_attention_properties.py")
_WORKFLOW = Path(".github/workflows/attention.yml")
_ASV = Path("asv.conf.json")
_BENCHMARK = Path("benchmarks/attention.py")
_DESK = Path("benchmarks/test_speed.py")
_NEXT = (
    ("mhsa verify", "what holds, what does not, and why"),
    (f"pytest {_TEST.as_posix()}", "the same in your own tests, one for each property"),
    ("mhsa bench", "how long it takes, and how much memory, over the length"),
    ("mhsa history", "the same over commits, kept and drawn by asv; once before: pip install 'mhsa[asv]'"),
    ("mhsa compare HEAD~1", "whether a commit made it slower, more costly or wrong"),
)


def init(given: argparse.Namespace) -> int:
    """Write what is not there yet; print what was written, what was kept and is to be added by hand, and what comes next."""
    text, document, configuration = _read_toml()
    configured = {request.spec for request in configuration.requests}
    spec = checked(given.subject) if given.subject else "" if configured else only_candidate()
    if spec and not given.subject:
        print(f"found {spec}")
    table = "" if not spec or spec in configured else _table(spec, {request.label for request in configuration.requests})
    exists = "mhsa" in document.get("tool", {})
    addition = "" if exists else _addition(text, _template("pyproject.toml", SUBJECT=table))

    desk = _Desk()
    if exists:
        desk.keep(f"{_TOML}: [tool.mhsa] exists", table, f"in {_TOML}")
    else:
        desk.append(_TOML, addition)
    desk.write(_TEST, _template("test.py"), "mhsa.verifies")
    install = _install(document)
    workflow = _template("workflow.yml", INSTALL=f"          {install}", NIGHTLY=f"          #{install}")
    steps = "".join(workflow.partition("      - name: Verify")[1:]).partition("\n\n")[0]
    desk.write(_WORKFLOW, workflow, "mhsa verify", f"in the steps of a job in {_WORKFLOW}", steps)
    _write_benchmarks(desk, Path.cwd().name)
    desk.tell()
    _say_where_workflows_belong()
    _say_what_comes_next()
    return 0


@dataclass
class _Desk:
    """Writes, and notes what it did: told at the end, so that a reader who goes away early leaves no half of it."""

    lines: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    by_hand: list[tuple[str, str]] = field(default_factory=list)

    def write(self, path: Path, text: str, sign: str = "", where: str = "", snippet: str = "") -> None:
        """Write a new file; to one that is there without ``sign`` in it, ``snippet`` (the text) is to be added by hand."""
        with self.refusing(path):
            for folder in reversed(path.parents):
                if folder.exists() and not folder.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("x", encoding="utf-8", newline="\n") as file:  # "x": nothing is ever overwritten
                    file.write(text)
            except FileExistsError:
                self.keep(f"{path}: it exists", "" if _mentions(path, sign) else snippet or text, where or f"in {path}")
            else:
                self.wrote(path)

    def append(self, path: Path, text: str) -> None:
        """Append to a file, byte for byte as it is, or make it."""
        with self.refusing(path):
            with path.open("ab") as file:
                file.write(text.encode())
            self.wrote(path)

    @contextlib.contextmanager
    def refusing(self, path: Path) -> Iterator[None]:
        """Leave with 2 where a file cannot be written."""
        try:
            yield
        except OSError as error:
            place = "" if error.filename in (None, str(path)) else f": {error.filename}"
            print(*self.lines, sep="\n", end="\n" if self.lines else "", flush=True)
            before = f"written before: {', '.join(self.written)}" if self.written else "nothing was written"
            refuse(f"{path} cannot be written: {error.strerror}{place}; {before}")

    def wrote(self, path: Path) -> None:
        """Note that a file was written."""
        self.written.append(str(path))
        self.lines.append(f"wrote {path}")

    def keep(self, words: str, snippet: str, where: str) -> None:
        """Note that something was kept, and what is to be added by hand, if anything."""
        self.lines.append(f"kept {words}")
        if snippet:
            self.by_hand.append((where, snippet))

    def tell(self) -> None:
        """Print what was written, what was kept, and what is to be added by hand."""
        print(*self.lines, sep="\n")
        for where, snippet in self.by_hand:
            print(f"\nto be added by hand, {where}:\n\n{snippet.rstrip()}")


def _write_benchmarks(desk: _Desk, project: str) -> None:
    """Write what asv needs, or nothing of it: a user's own set-up would not go together with half of ours."""
    configuration = _template("asv.conf.json", PROJECT=json.dumps(project, ensure_ascii=False))
    benchmark = _template("benchmark.py")
    there = [path for path in (_ASV, _BENCHMARK.parent) if path.exists() or path.is_symlink()]
    if not there:
        desk.write(_ASV, configuration)
        desk.write(_BENCHMARK.parent / "__init__.py", "")  # asv stops where there is none
        desk.write(_BENCHMARK, benchmark)
        desk.write(_DESK, _template("desk.py"))
    for path in there:
        desk.keep(f"{path}: it exists", "", "")
    if there and not _mentions(_BENCHMARK, "mhsa.bench.suite"):
        desk.by_hand.append((f"as {_BENCHMARK.name} among your benchmarks", benchmark))
    if there and _ASV not in there:
        desk.by_hand.append((f"as {_ASV}, if asv runs your benchmarks", configuration))


def _mentions(path: Path, words: str) -> bool:
    return path.is_file() and words in path.read_text(encoding="utf-8", errors="replace")


def _template(name: str, **values: str) -> str:
    text = (Path(__file__).parent / "templates" / f"{name}.txt").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _read_toml() -> tuple[str, dict[str, Any], Configuration]:
    """Return the text of pyproject.toml, what it says, and what its [tool.mhsa] says."""
    if not _TOML.exists():
        return "", {}, Configuration()
    try:
        configuration = read(_TOML)
    except ConfigurationError as error:
        refuse(f"{error}; nothing was written")
    text = _TOML.read_bytes().decode("utf-8")
    return text, tomllib.loads(text), configuration


def _addition(text: str, table: str) -> str:
    """Return what is to be appended to a text, with its kind of line ends."""
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    addition = (gap + table).replace("\n", "\r\n" if "\r\n" in text else "\n")
    try:
        tomllib.loads(text + addition)
    except tomllib.TOMLDecodeError:  # `tool = { ... }` in one line, say
        refuse(f"{_TOML}: no table [tool.mhsa] can stand at its end, so nothing was written; add this by hand:\n\n{table}")
    return addition


def _table(spec: str, taken: set[str]) -> str:
    """Return the table of a subject, called after its class or its file."""
    stem = re.split(r"[/:]", spec.removesuffix(".py"))[-1].rpartition(".")[2]
    name, n = stem, 2
    while name in taken:
        name, n = f"{stem}-{n}", n + 1
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return f"[tool.mhsa.subjects.{key}]\nsubject = {json.dumps(spec, ensure_ascii=False)}"


def _install(document: dict[str, Any]) -> str:
    """Return the command that installs the user's project, or what it needs."""
    if "project" in document or "build-system" in document or Path("setup.py").is_file():
        return "python -m pip install -e ."
    if Path("requirements.txt").is_file():
        return "python -m pip install -r requirements.txt"
    return "# python -m pip install ...: what your modules import beside torch"


def _say_where_workflows_belong() -> None:
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    if root != here:
        print(f"\nGitHub looks for workflows in the repository's root only: move {_WORKFLOW} to {root}")
        print(f"and add to it: defaults: {{ run: {{ working-directory: {here.relative_to(root).as_posix()} }} }}")


def _say_what_comes_next() -> None:
    width = max(len(command) for command, _ in _NEXT)
    print()
    for n, (command, words) in enumerate(_NEXT):
        print(f"{'' if n else 'next':4}  {command:{width}}  {words}")
