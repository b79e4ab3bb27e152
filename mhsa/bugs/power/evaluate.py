"""The figures of a measurement of power: which property finds which known bug, at what cost, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from mhsa.bugs.mutants.registry import mutants, right
from mhsa.records.catalogue import DECLARED, catalogue
from mhsa.records.power_record import Kill, OtherTool, Power
from mhsa.records.results import SubjectResult

# What pytest adds to each property's own seconds: 81 s of two cores for 2,071 properties of 65 s.
_OVERHEAD = 0.008


def evaluate(
    results: Sequence[SubjectResult], elsewhere: Sequence[SubjectResult], other_tools: dict[str, OtherTool], seconds: float
) -> Power:
    """Make the figures of a whole measurement.

    Args:
        results: of every mutant and every right variant in the quick profile.
        elsewhere: of the mutants that quick does not find, in the profile that their docstrings name.
        other_tools: what other tools find.
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
    return Power(tuple(order), costs, kills, alarms, len(variants), round(seconds, 1), other_tools)


def greedy(results: Sequence[SubjectResult], costs: dict[str, float]) -> list[str]:
    """Order the properties: next comes the one that finds most of what is left per second; then by all that it finds."""
    found: dict[str, set[str]] = {identity: set() for identity in costs}
    for result in results:
        for p in result.properties:
            if p.outcome == "fail" and p.id in found:
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
    """Seconds of each property where it finds nothing; those of declared features are measured by nothing here."""
    spent: dict[str, list[float]] = {p.id: [] for p in catalogue() if p.family not in DECLARED}
    for result in results:
        for p in result.properties:
            if p.outcome == "pass" and p.id in spent:
                spent[p.id].append(p.seconds)
    return {p: round(_OVERHEAD + (sum(s) / len(s) if s else 0.0), 4) for p, s in spent.items()}


def _kill(result: SubjectResult, order: Sequence[str], elsewhere: tuple[str, ...]) -> Kill:
    by_id = {p.id: p for p in result.properties}
    ran = [by_id[identity] for identity in order if identity in by_id]
    kills = tuple(p.id for p in ran if p.outcome == "fail")
    before = ran[: ran.index(by_id[kills[0]]) + 1] if kills else ran
    seconds = sum(p.seconds + _OVERHEAD for p in before)
    return Kill(kills, kills[0] if kills else "", sum(p.cases for p in before), round(seconds, 3), elsewhere)
