"""How often gates on speed raise false alarms and find known slow-downs, ``mhsa compare`` and others on the same commits.

``python -m benchmarks.other_tools > other_tools.md`` (some hours; what is in ``--json`` already is not measured again)
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.gates import GATES, run
from benchmarks.paced import Repository

SHAPES = ("exercise", "encoder 128", "encoder 512", "many heads", "wide")
PAIRS = {0: 5, 3: 1, 5: 1, 10: 1, 20: 1}  # of commits, for each slow-down in per cent; 0: a comment changed
CHECKS = 3  # processes that measure directly how much slower the commits are; their median counts


def main(arguments: Sequence[str]) -> int:
    """Measure what is not in the file yet, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    add = parser.add_argument
    add("--only", nargs="+", choices=GATES, default=list(GATES), metavar="METHOD", help=f"of {', '.join(GATES)}")
    add("--pairs", nargs="+", type=_pairs, default=[], metavar="SLOWDOWN=N",
        help=f"pairs of commits for each per cent (default: {' '.join(f'{s}={n}' for s, n in PAIRS.items())})")  # fmt: skip
    add("--shape", nargs="+", choices=SHAPES, default=list(SHAPES), help="fewer benchmarks, for a trial")
    add("--json", type=Path, default=Path("other_tools.json"), metavar="FILE", help="results, also those of earlier runs")
    given = parser.parse_args(arguments)
    wanted = PAIRS | dict(given.pairs)
    stored: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() else {"runs": []}
    about = _about(given.shape)
    if stored.setdefault("about", about) != about:
        parser.error(f"{given.json} is of other shapes, versions or another machine: name another file")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that folders and processes are cleaned up
    with tempfile.TemporaryDirectory(prefix="mhsa-other-tools-") as room:
        folder = Path(room) / "repository"
        folder.mkdir()
        measure(Repository(folder, given.shape, list(wanted)), wanted, given.only, stored, given.json)
    show(stored)
    return 0


def measure(repository: Repository, wanted: dict[int, int], methods: Sequence[str], stored: dict[str, Any], file: Path) -> None:
    """Run each method on each pair that is not stored; methods take turns, so that all meet the same weather."""
    check(repository, [percent for percent in wanted if percent], stored, file)
    done = {(r["method"], r["slower"], r["pair"]) for r in stored["runs"]}
    pairs = [(percent, pair) for percent, count in wanted.items() for pair in range(count)]
    left = [(m, *p) for p in sorted(pairs, key=lambda p: p[1]) for m in methods if (m, *p) not in done]
    for number, (method, percent, pair) in enumerate(left, 1):
        _tell(f"[{number}/{len(left)}] slower by {percent} %, pair {pair + 1}: {method}")
        outcome = GATES[method](repository, repository.base, repository.heads[percent])
        stored["runs"].append({"method": method, "slower": percent, "pair": pair, **asdict(outcome)})
        _write(stored, file)
        counts = ", ".join(f"{len(names)} by {limit} %" for limit, names in outcome.worse.items())
        _tell(f"    worse: {counts}; cannot tell: {outcome.undecided}; {outcome.seconds:.0f} s")


def check(repository: Repository, slowdowns: Sequence[int], stored: dict[str, Any], file: Path) -> None:
    """Measure directly how much slower the commits are, unless that is known."""
    known = stored.setdefault("check", {})
    left = [percent for percent in slowdowns if str(percent) not in known]
    if not left:
        return
    _tell(f"how much slower the commits are: {left}")
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(CHECKS):
        for line in run(["check", *(str(percent / 100) for percent in left)], repository.folder)[0].splitlines():
            share, name, slower = json.loads(line)
            found.setdefault(f"{100 * share:g}", {}).setdefault(name, []).append(slower)
    for percent, named in found.items():
        known[percent] = {name: statistics.median(shares) for name, shares in named.items()}
    _write(stored, file)


def show(stored: dict[str, Any]) -> None:
    """Print the tables."""
    about = stored["about"]
    versions = ", ".join(f"{name} {said}" for name, said in about["versions"].items())
    print(f"On {about['machine']}; {versions}. Shapes: {', '.join(about['shapes'])}; forward and training.\n")
    slowdowns = sorted({r["slower"] for r in stored["runs"]} - {0})
    titles = ["method", "limit", "A/A comparisons", "called slower", *(f"{s} %: found" for s in slowdowns), "time of a pair"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for method in GATES:
        runs = [r for r in stored["runs"] if r["method"] == method]
        for limit in runs[0]["worse"] if runs else ():
            same = [r for r in runs if r["slower"] == 0]
            cells = [method, f"{limit} %", str(sum(len(r["ratios"]) for r in same)), _found(same, limit, total=False)]
            cells += [_found([r for r in runs if r["slower"] == s], limit) for s in slowdowns]
            cells.append(f"{statistics.median(r['seconds'] for r in runs):.0f} s")
            print(f"| {' | '.join(cells)} |")
    print("\n| slower by | measured directly, median of the benchmarks | least | most |\n|---|---|---|---|")
    for percent, shares in sorted(stored["check"].items(), key=lambda item: float(item[0])):
        low, *_, high = sorted(shares.values())
        cells = [f"{100 * share:.2f} %" for share in (statistics.median(shares.values()), low, high)]
        print(f"| {percent} % | {' | '.join(cells)} |")


def _found(runs: Sequence[dict[str, Any]], limit: str, *, total: bool = True) -> str:
    """How many are called worse, and how many are left open."""
    if not runs:
        return ""
    said = str(sum(len(r["worse"][limit]) for r in runs))
    said += f" of {sum(len(r['ratios']) for r in runs)}" if total else ""
    undecided = sum(r["undecided"] for r in runs)
    return f"{said} ({undecided} cannot tell)" if undecided else said


def _about(shapes: Sequence[str]) -> dict[str, Any]:
    """What results must have in common to be counted together."""
    from mhsa.bench.measure.machine import describe_machine, one_line  # asv imports this file where mhsa is an older one

    versions = {name: version(name) for name in ("asv", "asv_runner", "pytest-benchmark")}
    return {"machine": one_line(describe_machine("cpu", 1)), "versions": versions, "shapes": list(shapes)}


def _pairs(text: str) -> tuple[int, int]:
    percent, _, count = text.partition("=")
    return int(percent), int(count)


def _write(stored: dict[str, Any], file: Path) -> None:
    """Replace the file at once: an interruption leaves the old or the new one."""
    new = file.with_name(file.name + ".new")
    new.write_text(json.dumps(stored, indent=1) + "\n")
    os.replace(new, file)


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
