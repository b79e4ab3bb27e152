"""Samples of output in README.md and docs/tutorial.md, each below ``<!-- sample: COMMAND; model.py is FILE; ... -->``.

``only: A|B;`` keeps the lines that begin with one of these.

python docs/samples.py            # runs the commands and writes the samples anew
python docs/samples.py --check    # exits with 1, and says why, unless the figures of each last line are still those
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")
WIDTH = 120  # columns of a line in a sample: those of a page that GitHub shows
_MARKER = r"<!-- sample: mhsa (?P<command>.+?); model\.py is (?P<file>\S+?);(?: only: (?P<only>.+?);)?.*?-->\n"
_SAMPLE = re.compile(_MARKER + r"```\n(?P<text>.*?)```\n", re.DOTALL)


@dataclass(frozen=True)
class Sample:
    """One block of a document: the words after ``mhsa``, the file that is called model.py there, and the text.

    ``only`` is how lines begin that are shown, one after another with | between; None shows all.
    """

    command: str
    file: str
    only: str | None
    text: str

    def shown(self) -> list[str]:
        """Return the lines to show of what the command prints now, long ones cut."""
        begins = tuple(self.only.split("|")) if self.only else ("",)
        lines = [f"$ mhsa {self.command}", *self.run().rstrip().splitlines()]
        lines = [line for line in lines if line.startswith(begins)]
        return [line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..." for line in lines]

    def run(self, *more: str) -> str:
        """Return what the command prints, without colours and progress."""
        return _output(self.command, self.file, *more)


@cache  # two pages may show the same command
def _output(command: str, file: str, *more: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / file, Path(folder) / "model.py")
        words = [sys.executable, "-m", "mhsa", *shlex.split(command), *more]
        env = os.environ | {"COLUMNS": str(WIDTH)}
        return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout


def samples(document: str) -> list[Sample]:
    """Return the samples of a document."""
    return [Sample(**match.groupdict()) for match in _SAMPLE.finditer(document)]


def figures(text: str) -> list[str]:
    """Return the numbers of the last line, the verdict's, without its seconds."""
    last = [line for line in text.splitlines() if line.strip()][-1]
    return re.findall(r"\d+", re.sub(r",? [\d.]+ s$", "", last.strip()))


def check(document: str) -> list[str]:
    """Return what is stale, in words."""
    stale = []
    for sample in samples(document):
        said = sample.run("--no-diagnosis")  # which takes as long again, and is not in the last line
        if not figures(said) or figures(said) != figures(sample.text):
            last = sample.text.splitlines()[-1].strip()
            stale.append(f"mhsa {sample.command}: the sample ends with\n  {last}\nand the command's output with\n{said[-300:]}")
    return stale


def written(document: str) -> str:
    """Return the document with each sample as its command prints it now, long lines cut."""
    for sample in samples(document):
        new = "\n".join([*sample.shown(), ""])
        document = document.replace(f"```\n{sample.text}```\n", f"```\n{new}```\n")
    return document


def main() -> int:
    """Write or check."""
    stale = []
    for page in PAGES:
        document = page.read_text(encoding="utf-8")
        if "--check" in sys.argv[1:]:
            stale += check(document)
        else:
            page.write_text(written(document), encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        return 0
    print(*stale or ["every sample has the figures that its command prints"], sep="\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
