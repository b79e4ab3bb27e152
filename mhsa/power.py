"""The power of the suite: which property finds which known bug, measured, kept in ``power.json``.

``python -m mhsa.power`` measures and writes the file anew (minutes).
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mhsa.catalogue import catalogue
from mhsa.mutants.registry import mutants, right
from mhsa.results import SubjectResult
from mhsa.runner import Listener, Options, run

FILE = Path(__file__).with_name("power.json")


@dataclass(frozen=True)
class Kill:
    """What one mutant met in a run of the quick profile.

    Attributes:
        kills: ids of the properties that found it.
        first: the first of them in :attr:`Power.order`; empty if none did.
        cases: that all properties up to that one would draw.
        seconds: that they would take, imports and loading not included.
    """

    kills: tuple[str, ...]
    first: str
    cases: int
    seconds: float


@dataclass(frozen=True)
class Power:
    """One measurement.

    Attributes:
        order: ids of all properties, the one that finds most unfound mutants per second first.
        mutants: what each mutant met, by name.
        alarms: right variants that did not hold, with the verdict.
        right: how many right variants were judged.
        seconds: of wall time, all included.
    """

    order: tuple[str, ...]
    mutants: dict[str, Kill]
    alarms: dict[str, str]
    right: int
    seconds: float


@functools.cache
def recorded() -> Power:
    """Return the measurement that comes with this version."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    kills = {name: Kill(tuple(k["kills"]), k["first"], k["cases"], k["seconds"]) for name, k in data["mutants"].items()}
    return Power(tuple(data["order"]), kills, data["alarms"], data["right"], data["seconds"])


def measure(workers: int, listen: Listener = lambda event: None) -> list[SubjectResult]:
    """Judge every mutant and every right variant by every property of the quick profile."""
    subjects = tuple(m.spec for m in mutants()) + tuple(right())
    return run(Options(subjects, workers=workers, shrink=False), listen)


def evaluate(results: Sequence[SubjectResult], seconds: float) -> Power:
    """Make the figures; results of mutants that are killed elsewhere than in ``quick`` count as they are."""
    by_spec = {r.subject: r for r in results}
    known = mutants()
    order = greedy([by_spec[m.spec] for m in known])
    kills = {m.name: _kill(by_spec[m.spec], order) for m in known}
    variants = [by_spec[spec] for spec in right()]
    alarms: dict[str, str] = {r.subject: r.verdict for r in variants if r.verdict != "holds"}
    return Power(tuple(order), kills, alarms, len(variants), round(seconds, 1))


def greedy(results: Sequence[SubjectResult]) -> list[str]:
    """Order the properties: next comes the one that finds most of what is left per second; then by all that it finds."""
    found: dict[str, set[str]] = {p.id: set() for p in catalogue()}
    spent: dict[str, list[float]] = {p.id: [] for p in catalogue()}
    for result in results:
        for p in result.properties:
            if p.outcome == "fail":
                found[p.id].add(result.subject)
            elif p.outcome == "pass":
                spent[p.id].append(p.seconds)
    # What a property costs where it finds nothing; a hundredth of a second more for what pytest adds to each.
    cost = {p: 0.01 + (sum(s) / len(s) if s else 0.0) for p, s in spent.items()}
    order: list[str] = []
    left = {subject for killed in found.values() for subject in killed}
    rest = set(found)
    while rest:
        best = max(rest, key=lambda p: (len(found[p] & left) / cost[p], len(found[p]) / cost[p], p))  # the last settles ties
        order.append(best)
        rest.discard(best)
        left -= found[best]
    return order


def _kill(result: SubjectResult, order: Sequence[str]) -> Kill:
    by_id = {p.id: p for p in result.properties}
    ran = [by_id[identity] for identity in order if identity in by_id]
    kills = tuple(p.id for p in ran if p.outcome == "fail")
    if not kills:
        return Kill((), "", sum(p.cases for p in ran), round(sum(p.seconds for p in ran), 3))
    before = ran[: ran.index(by_id[kills[0]]) + 1]
    return Kill(kills, kills[0], sum(p.cases for p in before), round(sum(p.seconds for p in before), 3))


def save(power: Power) -> None:
    """Write the measurement that comes with the next version."""
    FILE.write_text(json.dumps(asdict(power), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    started = time.monotonic()
    results = measure(2)
    save(evaluate(results, time.monotonic() - started))
