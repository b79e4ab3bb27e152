"""Samples of output in README.md, each below a line ``<!-- sample: COMMAND; model.py is FILE; ... -->``.

python docs/samples.py            # runs the commands and writes the samples anew
python docs/samples.py --check    # exits with 1, and says why, unless the figures of each last line are still those
"""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
WIDTH = 120  # columns of a line in a sample: those of a page that GitHub shows
_SAMPLE = re.compile(
    r"<!-- sample: mhsa (?P<command>.+?); model\.py is (?P<file>\S+?);.*?-->\n```\n(?P<text>.*?)```\n", re.DOTALL
)


@dataclass(frozen=True)
class Sample:
    """One block of a document: the words after ``mhsa``, the file that is called model.py there, and the text."""

    command: str
    file: str
    text: str

    def run(self, *more: str) -> str:
        """Return what the command prints, without colours and progress."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / self.file, Path(folder) / "model.py")
            words = [sys.executable, "-m", "mhsa", *shlex.split(self.command), *more]
            return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False).stdout


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
        lines = [line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..." for line in sample.run().rstrip().splitlines()]
        new = "\n".join([f"$ mhsa {sample.command}", *lines, ""])
        document = document.replace(f"```\n{sample.text}```\n", f"```\n{new}```\n")
    return document


def main() -> int:
    """Write or check."""
    document = README.read_text(encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        README.write_text(written(document), encoding="utf-8")
        return 0
    stale = check(document)
    print(*stale or ["every sample has the figures that its command prints"], sep="\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
