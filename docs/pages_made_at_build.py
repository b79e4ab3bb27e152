"""Pages of the site that are not files: mkdocs calls this hook, and each page is made from what it describes.

The pages are the commands with their help, from the parser of the command line; the public Python names, whose docstrings
mkdocstrings shows; and CONTRIBUTING.md, which stands at the top of the repository.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 76  # columns of a help text: what fits the width of a page


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name."""
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def commands() -> str:
    """Return the page of the commands: each with what `--help` prints."""
    from mhsa.commands.cli import _parser

    parts = ["# Commands", "What `mhsa COMMAND --help` prints. The exit code is 0, 1 or 2: [verify.md](verify.md)."]
    for name, parser in subparsers(_parser()).items():
        parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH)
        parts.append(f"## mhsa {name}\n\n```text\n{parser.format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def interface() -> str:
    """Return the page of the public Python names."""
    import mhsa

    intro = "Everything public is in `mhsa`, `mhsa.asv`, `mhsa.benchmark` and the pytest plugin; all else may change."
    return "\n\n".join(["# Python interface", intro, *(f"::: mhsa.{name}" for name in mhsa.__all__)]) + "\n"


def contributing() -> str:
    """Return CONTRIBUTING.md as a page of the site."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.sub(r"`docs/([\w-]+\.md)`", r"[\1](\1)", text)


PAGES = {"commands.md": commands, "api.md": interface, "contributing.md": contributing}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that mkdocs found."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    return files
