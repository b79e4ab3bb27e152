"""The power of the suite: which property finds which known bug, as it was measured, kept in ``power.json``."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mhsa.bugs.mutants.registry import mutants, right
from mhsa.records.catalogue import catalogue
from mhsa.records.results import SubjectResult

FILE = Path(__file__).with_name("power.json")
# What pytest and xdist add to each property, beside its own seconds: 81 s of two cores for 2,071 properties of 65 s.
_OVERHEAD = 0.008


@dataclass(frozen=True)
class Kill:
    """What one mutant met in a run of the quick profile.

    Attributes:
        kills: ids of the properties that found it, in running order.
        first: the first of them; empty if none did.
        cases: that all properties up to that one draw.
        seconds: that they take, imports and loading not included.
        elsewhere: the properties that found it where quick does not look: among the slow ones, or in float16.
    """

    kills: tuple[str, ...]
    first: str
    cases: int
    seconds: float
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rival:
    """What another way of testing found on the same modules.

    Attributes:
        found: names of the mutants that it found.
        alarms: right variants that it accused.
    """

    found: tuple[str, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Power:
    """One measurement.

    Attributes:
        order: ids of all properties, the one that finds most unfound mutants per second first.
        costs: seconds of each where it finds nothing.
        mutants: what each mutant met, by name.
        alarms: right variants that did not hold, with the verdict.
        right: how many right variants were judged.
        rivals: what others found, by name.
        seconds: of wall time, all included.
    """

    order: tuple[str, ...]
    costs: dict[str, float]
    mutants: dict[str, Kill]
    alarms: dict[str, str]
    right: int
    seconds: float
    rivals: dict[str, Rival] = field(default_factory=dict)

    @property
    def survivors(self) -> list[str]:
        """Names of the mutants that nothing found."""
        return [name for name, kill in self.mutants.items() if not kill.kills and not kill.elsewhere]


@functools.cache
def recorded() -> Power:
    """Return the measurement that comes with this version."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    kills = {
        name: Kill(**(kill | {k: tuple(kill[k]) for k in ("kills", "elsewhere")})) for name, kill in data["mutants"].items()
    }
    rivals = {name: Rival(tuple(r["found"]), tuple(r["alarms"])) for name, r in data["rivals"].items()}
    return Power(**(data | {"order": tuple(data["order"]), "mutants": kills, "rivals": rivals}))


def evaluate(
    results: Sequence[SubjectResult], elsewhere: Sequence[SubjectResult], rivals: dict[str, Rival], seconds: float
) -> Power:
    """Make the figures of a whole measurement.

    Args:
        results: of every mutant and every right variant in the quick profile.
        elsewhere: of the mutants that quick does not find, where their docstrings say that they are found.
        rivals: what others found.
        seconds: of wall time.
    """
    by_spec = {r.subject: r for r in results}
    others = {r.subject: tuple(p.id for p in r.properties if p.outcome == "fail") for r in elsewhere}
    known = mutants()
    costs = _costs([r for r in results if r.subject in {m.spec for m in known}])
    order = greedy([by_spec[m.spec] for m in known], costs)
    kills = {m.name: _kill(by_spec[m.spec], order, others.get(m.spec, ())) for m in known}
    variants = [by_spec[spec] for spec in right()]
    alarms: dict[str, str] = {r.subject: r.verdict for r in variants if r.verdict != "holds"}
    return Power(tuple(order), costs, kills, alarms, len(variants), round(seconds, 1), rivals)


def greedy(results: Sequence[SubjectResult], costs: dict[str, float]) -> list[str]:
    """Order the properties: next comes the one that finds most of what is left per second; then by all that it finds."""
    found: dict[str, set[str]] = {p.id: set() for p in catalogue()}
    for result in results:
        for p in result.properties:
            if p.outcome == "fail":
                found[p.id].add(result.subject)
    order: list[str] = []
    left = {subject for killed in found.values() for subject in killed}
    rest = set(found)
    while rest:
        # sorted() settles ties the same way each time.
        best = max(sorted(rest), key=lambda p: (len(found[p] & left) / costs[p], len(found[p]) / costs[p]))
        order.append(best)
        rest.discard(best)
        left -= found[best]
    return order


def _costs(results: Sequence[SubjectResult]) -> dict[str, float]:
    """Seconds of each property where it finds nothing."""
    spent: dict[str, list[float]] = {p.id: [] for p in catalogue()}
    for result in results:
        for p in result.properties:
            if p.outcome == "pass":
                spent[p.id].append(p.seconds)
    return {p: round(_OVERHEAD + (sum(s) / len(s) if s else 0.0), 4) for p, s in spent.items()}


def _kill(result: SubjectResult, order: Sequence[str], elsewhere: tuple[str, ...]) -> Kill:
    by_id = {p.id: p for p in result.properties}
    ran = [by_id[identity] for identity in order if identity in by_id]
    kills = tuple(p.id for p in ran if p.outcome == "fail")
    before = ran[: ran.index(by_id[kills[0]]) + 1] if kills else ran
    seconds = sum(p.seconds + _OVERHEAD for p in before)
    return Kill(kills, kills[0] if kills else "", sum(p.cases for p in before), round(seconds, 3), elsewhere)


def save(power: Power, path: Path = FILE) -> None:
    """Write a measurement.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_text(json.dumps(asdict(power), indent=1) + "\n", encoding="utf-8")
