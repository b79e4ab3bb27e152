"""Known bugs that fail nearly the same properties as a subject whose numbers none of them gives: a hint."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mhsa.bugs.mutants.registry import Mutant, mutants
from mhsa.records.power_record import recorded
from mhsa.records.results import SubjectResult

# Of all properties that the subject or the bug fails, the share that both fail, from which on a bug is named. Measured, on
# modules that the bugs were not made from, by benchmarks/hints.py: docs/diagnosis.md has the table and says why this one.
THRESHOLD = 0.8
MOST = 3  # bugs that are named
# So much below the threshold a bug still counts as one that fails much the same. Where more than MOST do, the failed properties
# do not distinguish bugs (a wrong scale and a wrong map fail whatever looks at a number), and naming some of them is chance.
_CROWD = 0.2
# A single failed property is shared with too many bugs to say which: all of them would be at 100 %.
_FEWEST = 3
_ONE_ERROR = 0.5  # of the failed properties: where more raise the same kind of exception, that is what is to be looked at


Shares = list[tuple[Mutant, float]]


def hints(result: SubjectResult) -> Shares:
    """Return the bugs that fit the results, with the share of failed properties in common, the nearest first.

    ``result`` is of a violated subject, of which all properties were judged.
    """
    return worth_it(shares(result), THRESHOLD)


def worth_it(pairs: Shares, threshold: float) -> Shares:
    """Return those from a threshold on, unless so many come near it that naming some of them would be chance."""
    near = [share for _, share in pairs if share >= threshold - _CROWD]
    return [pair for pair in pairs if pair[1] >= threshold] if len(near) <= MOST else []


def shares(result: SubjectResult, without: str = "") -> Shares:
    """Return every bug that does not contradict the results, the nearest first; ``without`` leaves one out."""
    passed = {p.id for p in result.properties if p.outcome == "pass"}
    failed = {p.id for p in result.properties if p.outcome == "fail"}
    if len(failed) < _FEWEST or raises_alike(p.reason for p in result.properties if p.outcome == "fail"):
        return []
    masked = "oracle.output_under_masks" in passed | failed
    pairs = []
    for mutant in mutants():
        kill = recorded().mutants.get(mutant.name)
        if kill is None or mutant.name == without or (mutant.of_masks and not masked):
            continue
        kills = set(kill.kills) & (passed | failed)
        # The oracle's properties say whether any number is wrong, and of what: there a bug must fail what the subject fails.
        if _of_oracle(kills) == _of_oracle(failed):
            pairs.append((mutant, len(failed & kills) / len(failed | kills)))
    return sorted(pairs, key=lambda pair: -pair[1])


def raises_alike(reasons: Iterable[str]) -> bool:
    """Whether most failures are one kind of exception."""
    every = list(reasons)
    kinds = Counter(match[1] for reason in every if (match := re.search(r" raised (\w+)", reason)))
    return bool(kinds) and max(kinds.values()) > _ONE_ERROR * len(every)


def _of_oracle(ids: set[str]) -> set[str]:
    return {identity for identity in ids if identity.startswith("oracle.")}
