"""How often a hint at a known bug is right: the tables of docs/diagnosis.md.

``python benchmarks/hints.py`` prints them from what was recorded (benchmarks/hints.json, mhsa/records/power.json);
``python benchmarks/hints.py --write`` puts them into the page, which has to be done when mhsa/records/power.json has changed;
``python benchmarks/hints.py --record FILE...`` first judges modules of tests/corpus (whose causes their docstrings say, or
CAUSES in tests/bugs/test_diagnosis.py), half a minute each, and adds what failed to the record.
"""

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mhsa.bugs.diagnosis.hints import MOST, THRESHOLD, shares, worth_it
from mhsa.bugs.mutants.registry import mutants
from mhsa.records.power_record import recorded
from mhsa.records.results import PropertyResult, SubjectResult

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
FILE = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "diagnosis.md"
THRESHOLDS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def record(files: list[str]) -> None:
    """Judge modules by all properties of the quick profile and add what passed and failed to the record."""
    from mhsa.records.request import Request
    from mhsa.run.runner import Options, run

    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for file in files:
        (result,) = run(Options((Request.of(file),), shrink=False))
        name = str(Path(file).resolve().relative_to(CORPUS))
        known[name] = {
            "failed": {p.id: p.reason[:200] for p in result.properties if p.outcome == "fail"},
            "passed": [p.id for p in result.properties if p.outcome == "pass"],
        }
        FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def corpus() -> dict[str, tuple[set[str], SubjectResult]]:
    """Return every recorded module with the known bugs that it has, and what failed."""
    recorded_modules = json.loads(FILE.read_text()).items()
    return {name: (known, _result(name, found)) for name, found in recorded_modules if (known := causes(name)) is not None}


def causes(name: str) -> set[str] | None:
    """Return the known bugs of a module, by the tests that insist on them; None for one of which nothing is said."""
    sys.path.insert(0, str(ROOT))
    from tests.bugs.test_diagnosis import CAUSES

    if name in CAUSES:
        return CAUSES[name]
    said = re.search(r"Cause: (\w+)", (CORPUS / name).read_text())
    return None if said is None else {said[1]} - {"none"}


def known_bugs() -> dict[str, SubjectResult]:
    """Return every known bug as a subject of its own: what failed when the power was measured."""
    order = recorded().order
    return {
        name: _result(name, {"failed": dict.fromkeys(kill.kills, ""), "passed": [p for p in order if p not in kill.kills]})
        for name, kill in recorded().mutants.items()
        if kill.kills
    }


def _result(name: str, found: dict[str, Any]) -> SubjectResult:
    failed = [PropertyResult(identity, "fail", reason=reason) for identity, reason in found["failed"].items()]
    return SubjectResult(name, properties=[*failed, *(PropertyResult(identity, "pass") for identity in found["passed"])])


def chance(kind: str) -> float:
    """How likely one of ``MOST`` bugs that are drawn from all others is of a kind."""
    sizes = Counter(mutant.kind for mutant in mutants())
    others, alike = sizes.total() - 1, sizes[kind] - 1
    return 1.0 - math.comb(others - alike, MOST) / math.comb(others, MOST)


def table_of_modules() -> list[str]:
    """Rows: modules of the corpus, whose bug is among the known ones, or is none of them."""
    titles = ("threshold", "with a known bug", "hinted", "bug named", "by chance", "without", "hinted all the same")
    rows = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    found = corpus()
    bugs = len(mutants())
    near = {name: shares(result) for name, (_, result) in found.items()}
    for threshold in THRESHOLDS:
        told = {name: {m.name for m, _ in worth_it(near[name], threshold)} for name in found}
        have = [name for name, (known, _) in found.items() if known]
        none = [name for name, (known, _) in found.items() if not known]
        hinted = [name for name in have if told[name]]
        hits = sum(bool(found[name][0] & told[name]) for name in hinted)
        rows.append(
            f"| {threshold:.0%} | {len(have)} | {len(hinted)} | {_share(hits, len(hinted))} | {MOST / bugs:.0%} | {len(none)} "
            f"| {sum(bool(told[name]) for name in none)} |"
        )
    return rows


def table_of_kinds() -> list[str]:
    """Rows: every known bug in turn as a subject, itself left out of what a hint may name: is a bug of its kind named?"""
    rows = ["| threshold | bugs | hinted | one of its kind named | by chance |", "|---|---|---|---|---|"]
    kinds = {mutant.name: mutant.kind for mutant in mutants()}
    subjects = known_bugs()
    near = {name: shares(result, without=name) for name, result in subjects.items()}
    for threshold in THRESHOLDS:
        told = {name: [m.kind for m, _ in worth_it(near[name], threshold)] for name in subjects}
        hinted = [name for name in subjects if told[name]]
        hits = sum(kinds[name] in told[name] for name in hinted)
        by_chance = sum(chance(kinds[name]) for name in hinted) / max(len(hinted), 1)
        rows.append(f"| {threshold:.0%} | {len(subjects)} | {len(hinted)} | {_share(hits, len(hinted))} | {by_chance:.0%} |")
    return rows


def _share(hits: int, of: int) -> str:
    return f"{hits} of {of}, {hits / of:.0%}" if of else "-"


def tables() -> str:
    """Return both tables as they stand in docs/diagnosis.md."""
    return "\n".join([*table_of_modules(), "", *table_of_kinds()])


def write() -> None:
    """Put the tables into the page, in the place of those that are there: from its first row to its last."""
    lines = PAGE.read_text().splitlines()
    rows = [n for n, line in enumerate(lines) if line.startswith("|")]
    lines[rows[0] : rows[-1] + 1] = tables().splitlines()
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2:])
    if sys.argv[1:2] == ["--write"]:
        write()
    print(tables())
    print(f"\nHints are printed from {THRESHOLD:.0%} on.")
