"""Which steps of a history somebody has accepted: by ``mhsa compare --accept``, or by a line in a commit's message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.comparison import COUNTED
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.steps import THRESHOLD, Step

_COUNTED = {words: name for name, words in COUNTED.items()}


def acknowledged(steps: Sequence[Step], commits: Sequence[Commit], found: Sequence[tuple[int, Acceptance]]) -> list[Step]:
    """Return the steps, with the acceptance of each that has one.

    Args:
        steps: of all benchmarks.
        commits: oldest first.
        found: acceptances, and with which commit each came in.
    """
    numbers = {commit.sha: n for n, commit in enumerate(commits)}
    every = list(steps)
    for came_in, acceptance in found:
        for benchmark in dict.fromkeys(step.benchmark for step in every):
            fitting = [n for n, step in enumerate(every) if step.benchmark == benchmark and _is_of(acceptance, step)]
            for n in _meant(every, fitting, acceptance, came_in, numbers):
                every[n] = replace(every[n], accepted=acceptance)
    return every


def exceeds(step: Step) -> bool:
    """Whether a step is larger than what is accepted of it, by more than a step has at least."""
    figures = step.accepted.of(step.benchmark) if step.accepted is not None else None
    if figures is None or step.before is None or step.after is None:
        return False
    if step.words == "slower":
        return step.after / step.before > figures.ratio * (1 + THRESHOLD)
    return step.after - step.before > figures.more.get(_COUNTED[step.words], 0)


def _is_of(acceptance: Acceptance, step: Step) -> bool:
    """Whether an acceptance says anything of what a step is one of."""
    figures = acceptance.of(step.benchmark)
    if figures is None or step.accepted is not None:
        return False
    return figures.ratio > 1 if step.words == "slower" else _COUNTED.get(step.words, "") in figures.more


def _meant(
    steps: Sequence[Step], fitting: Sequence[int], acceptance: Acceptance, came_in: int, numbers: dict[str, int]
) -> list[int]:
    """Return which of the steps are meant: those at the commit that was slower, if it is here under that name.

    It is not if it was squashed, or is within a merge: then those at the commit with which the acceptance came in. A rebase
    gives it another name: then those since the commit that it was compared with.
    """

    def between(first: int, last: int) -> list[int]:
        """Those that may lie at one of these commits: a step is somewhere behind the last one measured before it."""
        return [n for n in fitting if _begin(steps[n], numbers) <= last and numbers[steps[n].commit.sha] >= first]

    if acceptance.commit in numbers and (at := between(numbers[acceptance.commit], numbers[acceptance.commit])):
        return at
    if at := between(came_in, came_in):
        return at
    base = numbers.get(acceptance.base)
    return [] if base is None else between(base + 1, came_in)


def _begin(step: Step, numbers: dict[str, int]) -> int:
    """The number of the first commit at which a step may lie."""
    end = numbers[step.commit.sha]
    return numbers.get(step.last.sha, end - 1) + 1 if step.last is not None else end
