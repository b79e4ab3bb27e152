"""Known bugs that fail nearly the same properties as a subject whose numbers none of them gives: a hint."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mhsa.mutants.registry import Mutant, mutants
from mhsa.power import recorded
from mhsa.results import SubjectResult

# Of all properties that the subject or the bug fails, the share that both fail, from which on a bug is named. Measured, on
# modules that the bugs were not made from, by benchmarks/hints.py: docs/diagnosis.md has the table and says why this one.
THRESHOLD = 0.8
MOST = 3  # bugs that are named
# A single failed property is shared with too many bugs to say which: all of them would be at 100 %.
_FEWEST = 3
_ONE_ERROR = 0.5  # of the failed properties: where more raise the same kind of exception, that is what is to be looked at


def hints(result: SubjectResult, threshold: float = THRESHOLD, without: str = "") -> list[tuple[Mutant, float]]:
    """Return the bugs that fit what was found, with the share of failed properties in common, the nearest first.

    Args:
        result: of a violated subject, of which all properties were judged.
        threshold: the least share.
        without: a bug to leave out, where hints themselves are measured.
    """
    passed = {p.id for p in result.properties if p.outcome == "pass"}
    failed = {p.id for p in result.properties if p.outcome == "fail"}
    if len(failed) < _FEWEST or raises_alike(p.reason for p in result.properties if p.outcome == "fail"):
        return []
    masked = "oracle.output_under_masks" in passed | failed
    found = []
    for mutant in mutants():
        kill = recorded().mutants.get(mutant.name)
        if kill is None or mutant.name == without or (mutant.kind == "masks" and not masked):
            continue
        kills = set(kill.kills) & (passed | failed)
        # The oracle's properties say whether any number is wrong, and of what: there a bug must fail what the subject fails.
        share = len(failed & kills) / len(failed | kills)
        if share >= threshold and _of_oracle(kills) == _of_oracle(failed):
            found.append((mutant, share))
    found.sort(key=lambda pair: -pair[1])
    return found[:MOST]


def raises_alike(reasons: Iterable[str]) -> bool:
    """Whether most failures are one kind of exception."""
    given = list(reasons)
    kinds = Counter(match[1] for reason in given if (match := re.search(r" raised (\w+)", reason)))
    return bool(kinds) and max(kinds.values()) > _ONE_ERROR * len(given)


def _of_oracle(ids: set[str]) -> set[str]:
    return {identity for identity in ids if identity.startswith("oracle.")}
