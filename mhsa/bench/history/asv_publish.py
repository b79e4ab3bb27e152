"""asv's own part: where its results are kept, and its pages, which ``asv publish`` draws."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from mhsa.records.errors import UsageError

_NAMES = ("asv.conf.json", "asv.conf.jsonc")
_PATIENCE = 600.0  # seconds for asv publish, which takes one or two for twenty commits
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


class PublishError(UsageError):
    """The pages could not be drawn: why, and what to do."""


@dataclass(frozen=True)
class Site:
    """Where results and pages are, and by which configuration.

    Attributes:
        results, pages: folders.
        configuration: asv's settings; paths in it are absolute.
        path: of the user's own configuration, where that says the same; else asv is given a temporary one.
    """

    results: Path
    pages: Path
    configuration: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def look(self) -> str:
        """The command that shows the pages."""
        if self.path is None:
            return shlex.join(["python", "-m", "http.server", "--directory", str(self.pages)])
        here = self.path.parent == Path.cwd()
        return "asv preview" if here else shlex.join(["asv", "--config", str(self.path), "preview"])


def site_of(here: Path, root: Path, results: Path | None) -> Site:
    """Return where results and pages belong.

    Args:
        here: the current folder.
        root: the repository's.
        results: a folder for the results; None for the configured one.

    Raises:
        PublishError: there is a configuration, and it cannot be read.
    """
    path = next((f / name for f in (here, root) for name in _NAMES if (f / name).is_file()), None)
    if path is None:
        settings = _parsed(
            resources.files("mhsa")
            .joinpath("commands/init_files/templates/asv.conf.json.txt")
            .read_text()
            .replace("@PROJECT@", '""')
        )
        settings |= {"project": root.name, "html_dir": ".asv/html"}
        folder = root
    else:
        try:
            settings, folder = _parsed(path.read_text(encoding="utf-8")), path.parent
        except (OSError, ValueError) as error:
            raise PublishError(f"{path} cannot be read: {error}") from None
    written = results.resolve() if results else (folder / settings.get("results_dir", "results")).resolve()
    pages = written.with_name(f"{written.name}-html") if results else (folder / settings.get("html_dir", "html")).resolve()
    own = path is not None and not results and (folder / str(settings.get("repo", ""))).is_dir()
    folders = {"repo": str(root), "results_dir": str(written), "html_dir": str(pages)}
    return Site(written, pages, settings | folders, path if own else None)


def is_installed() -> bool:
    """Whether asv is there; it is not imported."""
    return importlib.util.find_spec("asv") is not None


def publish(site: Site) -> None:
    """Draw the pages.

    Raises:
        PublishError: with asv's output.
    """
    if site.pages.is_dir() and any(site.pages.iterdir()) and not (site.pages / "asv.js").is_file():
        raise PublishError(f"{site.pages} exists and was not made by asv, which would replace it; move it away")
    with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder:
        path = site.path
        if path is None:
            path = Path(folder) / _NAMES[0]
            path.write_text(json.dumps(site.configuration), encoding="utf-8")
        code, output = _run([sys.executable, "-P", "-m", "asv", "--config", str(path), "publish", "--no-pull"], path.parent)
    if code:
        raise PublishError(f"asv publish failed with exit code {code}; it printed:\n{output.strip()}")


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=_PATIENCE)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise PublishError(f"asv publish did not end within {_PATIENCE:g} s; it printed:\n{output.strip()}") from None
    return process.returncode, output


def _parsed(text: str) -> dict[str, Any]:
    """Read JSON with comments, as asv does."""
    if importlib.util.find_spec("json5") is not None:  # comes with asv, which also takes trailing commas
        import json5

        data = json5.loads(text)
    else:
        data = json.loads(_COMMENT.sub(lambda match: match[1] or "", text))
    if not isinstance(data, dict):
        raise ValueError("it is not an object")
    return data
