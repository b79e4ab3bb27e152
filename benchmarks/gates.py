"""Gates on speed, each run by its command line on two commits of benchmarks/paced.py, for benchmarks/other_tools.py."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.paced import Repository

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_FAILED = re.compile(r"^\s*(\S.*?) - Field 'median' has failed \w+: \S+ > (\S+)$", re.M)


@dataclass(frozen=True)
class Outcome:
    """What a gate says of two commits.

    Attributes:
        seconds: that it took, by the clock.
        worse: the names of those that it calls worse, for each limit, in per cent.
        ratios: head / base of each, as the gate prints it.
        undecided: how many it leaves open.
    """

    seconds: float
    worse: dict[str, list[str]]
    ratios: dict[str, float]
    undecided: int = 0


def run(command: Sequence[str], folder: Path, codes: Sequence[int] = (0,)) -> tuple[str, float]:
    """Run a module of this Python; return what it prints and how long it takes. What it has started ends with it."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | _THREADS, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = process.communicate()[0]
    finally:
        if process.poll() is None:  # interrupted: it may clean up, but not for long
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    seconds = time.monotonic() - start
    if process.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{said}")
    return said, seconds


def _complete(ratios: dict[str, float], repository: Repository, said: str) -> dict[str, float]:
    """Return the ratios; a gate that has not measured everything has no verdict to be counted."""
    if len(ratios) != repository.benchmarks:
        raise RuntimeError(f"{len(ratios)} benchmarks instead of {repository.benchmarks}:\n{said}")
    return ratios


def asv(repository: Repository, base: str, head: str, option: str) -> Outcome:
    """``asv continuous``, and ``asv compare`` with two factors on what it has stored: 1.1 is its default."""
    folder = repository.folder
    if not (folder / ".asv" / "env").exists():  # an environment is made once, and not on a pair's time
        run(["asv", "machine", "--yes"], folder)
        run(["asv", "check"], folder)  # asv setup ends with 1 when all went well
    shutil.rmtree(folder / ".asv" / "results", ignore_errors=True)
    said, seconds = run(["asv", "continuous", option, base, head], folder, codes=(0, 1))
    worse, ratios = {}, {}
    for percent, factor in (("3", "1.03"), ("10", "1.1")):
        table = run(["asv", "compare", "--factor", factor, base, head], folder)[0]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if ".time_" in line]
        ratios = _complete({row[4]: float(row[3].lstrip("~")) for row in rows if row[3] != "n/a"}, repository, said + table)
        worse[percent] = [row[4] for row in rows if row[0] == "+"]
    return Outcome(seconds, worse, ratios)


def pytest_benchmark(repository: Repository, base: str, head: str) -> Outcome:
    """pytest-benchmark: base is saved, head is compared with it; one run judges by both limits."""
    spent = 0.0
    medians = {}
    said = ""
    for commit in (base, head):
        place = repository.folder.parent / commit
        if not place.exists():
            repository.git("worktree", "add", "-q", "--detach", str(place), commit)
        files = [repository.folder.parent / f"{side}.json" for side in ("base", "head")]
        asked = ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:mhsa", "test_pace.py", "--benchmark-only"]
        asked += [f"--benchmark-json={files[commit == head]}"]
        if commit == head:
            asked += [f"--benchmark-compare={files[0]}", "--benchmark-compare-fail", "median:3%", "median:10%"]
        said, seconds = run(asked, place, codes=(0, 1) if commit == head else (0,))
        spent += seconds
        found = json.loads(files[commit == head].read_text())["benchmarks"]
        medians[commit] = {b["name"]: b["stats"]["median"] for b in found}
    ratios = {name: medians[head][name] / median for name, median in medians[base].items() if name in medians[head]}
    worse: dict[str, list[str]] = {"3": [], "10": []}
    for name, limit in _FAILED.findall(said):
        worse[f"{float(limit):g}"].append(name.rpartition(" (")[0])  # without where base is stored
    return Outcome(spent, worse, _complete(ratios, repository, said))


def mhsa(repository: Repository, base: str, head: str) -> Outcome:
    """``mhsa compare`` with its default threshold and budget; the others compare no results with anything, either."""
    file = repository.folder.parent / "compare.json"
    shapes = [word for shape in repository.shapes for word in ("--shape", shape)]
    asked = ["mhsa", "compare", base, head, "--no-verify", *shapes, "--no-color", "--json", str(file)]
    said, seconds = run(asked, repository.folder, codes=(0, 1, 2))
    found = {b["benchmark"]: b for b in json.loads(file.read_text())["benchmarks"]}
    ratios = {name: b["decision"]["ratio"] for name, b in found.items() if b["decision"]}
    verdicts = {name: b["verdict"] for name, b in found.items()}
    worse = [name for name, verdict in verdicts.items() if verdict not in ("not slower", "cannot tell")]
    undecided = sum(verdict == "cannot tell" for verdict in verdicts.values())
    return Outcome(seconds, {"3": worse}, _complete(ratios, repository, said), undecided)


# asv continuous 0.6.6 lets rounds take turns unless it is told not to; then all of one commit is measured before the other.
GATES: dict[str, Callable[[Repository, str, str], Outcome]] = {
    "asv continuous": partial(asv, option="--interleave-rounds"),
    "asv continuous --no-interleave-rounds": partial(asv, option="--no-interleave-rounds"),
    "pytest-benchmark": pytest_benchmark,
    "mhsa compare": mhsa,
}
