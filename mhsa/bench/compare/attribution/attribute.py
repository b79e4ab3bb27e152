"""Names the lines that make head take more than base, or says that the profile does not explain it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mhsa.bench.compare.attribution.line_differences import PYTHON, LineDifference, Sides
from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.statement_costs import OUTSIDE, Amount, Place
from mhsa.bench.report import format as wording

Measure = Literal["seconds", "calls", "bytes"]
_NAMED = 5  # lines at most
_LEAST = 0.1  # of the difference: what is less is no reason for it
_EXPLAINED = 0.5  # of the difference, at least: else something else is the reason
_CLEAR = 5.0  # standard errors
_SHORT = 1e-6  # seconds: what is shorter is nothing to speak of
_GROWN = 1.5  # times: how much more a line takes that does the same, where it can be the reason all the same


@dataclass(frozen=True)
class NamedLine:
    """A line that a part of the difference comes from.

    Attributes:
        file, line, function, text: where; at base if ``gone``.
        gone: whether head does not have it.
        changed: whether base does not have it.
        instead: what base has in its place.
        amount: what it costs more, with the lines that it reaches, in the measure of the attribution.
        share: of the difference, at most 1.
        reasons: what costs more, in words.
        reaches: lines that are the same and cost more through it: where, and what in words.
    """

    file: str
    line: int
    function: str
    text: str
    amount: float
    share: float
    reasons: tuple[str, ...]
    gone: bool = False
    changed: bool = True
    instead: str = ""
    reaches: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" + (" at base, which head does not have" if self.gone else "")


@dataclass(frozen=True)
class Attribution:
    """What the difference of a benchmark comes from.

    Attributes:
        measure: what the difference is in: seconds, calls of operators or bytes.
        total: the difference.
        explained: how much of it the lines have that do something else than at base.
        lines: those that have most of it, the first one first; none if they do not explain it.
        problem: why there are none, in words.
        profiles: of both sides, for a picture.
    """

    measure: Measure
    total: float
    explained: float = 0.0
    lines: tuple[NamedLine, ...] = ()
    problem: str = ""
    profiles: Mapping[str, CallProfile] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the profiles, ready for JSON."""
        data = asdict(replace(self, profiles={}))
        del data["profiles"]
        return data


@dataclass
class _CausingLine:
    """A line, and all that costs more because of it."""

    place: Place
    own: LineDifference | None = None
    reached: list[LineDifference] = field(default_factory=list)

    def amount(self, measure: Measure) -> float:
        every = [*([self.own] if self.own else []), *self.reached]
        return float(sum(getattr(d.total, measure) for d in every))


def attribute(base: CallProfile, head: CallProfile, measure: Measure, total: float | None = None) -> Attribution:
    """Return what a difference comes from.

    Args:
        base, head: the profiles of both.
        measure: what the difference is in.
        total: the difference as it was measured; None for that of the profiles.
    """
    differences = Sides(base, head).differences()
    if total is None:
        total = sum(getattr(d.total, measure) for d in differences.values())
        if measure == "seconds":
            total = head.seconds - base.seconds
    if total <= 0:
        return Attribution(measure, total, problem=f"the profile shows no more {_THINGS[measure]} at head")
    causes = _causes({place: d for place, d in differences.items() if not d.does_the_same and place != OUTSIDE})
    explained = sum(cause.amount(measure) for cause in causes)
    if explained < _EXPLAINED * total and measure == "seconds":
        grown = {place: d for place, d in differences.items() if d.does_the_same and _has_grown(d, head)}
        causes += _causes(grown)
        explained = sum(cause.amount(measure) for cause in causes)
    if explained < _EXPLAINED * total:
        words = (
            "the profile does not explain it: lines that do something else than at base account for "
            f"{max(explained, 0.0) / total:.0%} of {shown(total, measure)}"
        )
        return Attribution(measure, total, explained, problem=words)
    ordered = sorted(causes, key=lambda cause: -cause.amount(measure))
    # The profile may find more than was measured: what watches a line makes it slower. Shares are then of all that it finds.
    of = max(total, sum(max(0.0, cause.amount(measure)) for cause in causes))
    lines = [_named(cause, differences, measure, of) for cause in ordered if cause.amount(measure) >= _LEAST * of]
    return Attribution(measure, total, explained, tuple(lines[:_NAMED]))


_THINGS = {"seconds": "time", "calls": "calls of operators", "bytes": "bytes of results"}


def shown(amount: float, measure: Measure) -> str:
    """Return an amount with its unit."""
    if measure == "seconds":
        return wording.seconds(amount)
    return f"{amount:.0f} calls" if measure == "calls" else wording.size(round(amount))


def _causes(differences: Mapping[Place, LineDifference]) -> list[_CausingLine]:
    """Gather lines under those that their change came from, which may itself have come from another."""
    found: dict[Place, _CausingLine] = {}
    for place, difference in differences.items():
        origin, seen = place, {place}
        while (above := differences[origin].came_from) is not None and above in differences and above not in seen:
            origin = above
            seen.add(above)
        cause = found.setdefault(origin, _CausingLine(origin))
        if origin == place:
            cause.own = difference
        else:
            cause.reached.append(difference)
    return list(found.values())


def _has_grown(difference: LineDifference, head: CallProfile) -> bool:
    if difference.statement is None:
        return False
    more = difference.total.seconds
    now = sum(line.seconds for line in head.lines if line.statement == difference.statement)
    return more > _CLEAR * difference.noise and now > _GROWN * (now - more)


def _named(
    cause: _CausingLine, differences: Mapping[Place, LineDifference], measure: Measure, total: float
) -> NamedLine:  # fmt: skip
    own = cause.own or differences[cause.place]
    statement = own.statement
    assert statement is not None
    reached = sorted(cause.reached, key=lambda d: -getattr(d.total, measure))
    reaches = tuple(
        (f"{d.statement.file}:{d.statement.line}", ", ".join(_reasons(d, measure)) + _inputs(d))
        for d in reached[:3]
        if d.statement and getattr(d.total, measure) >= _LEAST * total
    )
    amount = cause.amount(measure)
    reasons = tuple(_reasons(own, measure))
    if own.does_the_same:
        reasons = ("it does the same as at base, and takes longer", *reasons)
    elif not own.changed and not own.gone:
        reasons = (*reasons, *([_inputs(own).removeprefix(": ")] if own.inputs else []))
    if own.hits[0] and own.hits[1] and own.hits[0] != own.hits[1]:
        reasons = (f"executed {own.hits[1]} times, not {own.hits[0]}", *reasons)
    repeated = bool(reached) and reached[0].hits[1] > reached[0].hits[0] > 0
    if repeated or not reasons:
        reasons = (_through(reached, amount, measure), *reasons)
    near = difflib.get_close_matches(statement.text, [s.text for s in own.instead], n=1)
    return NamedLine(
        statement.file, statement.line, statement.function, statement.text, amount, min(1.0, amount / total), reasons,
        gone=own.gone, changed=own.changed, instead=near[0] if near else "", reaches=reaches,
    )  # fmt: skip


def _through(reached: Sequence[LineDifference], amount: float, measure: Measure) -> str:
    """Return why a line is named that does no more itself, or nothing that is large enough to be told."""
    if not reached:
        return f"{shown(amount, measure)} in many small parts"
    most = reached[0]
    base, head = most.hits
    if most.statement and head > base > 0:
        return f"{most.statement.file}:{most.statement.line} is executed {head} times through it, not {base}"
    return (
        "other lines take more through it" if measure == "seconds" else f"other lines have more {_THINGS[measure]} through it"
    )


def _inputs(difference: LineDifference) -> str:
    return f": on {'; '.join(difference.inputs[:2])}" if difference.inputs else ""


def _reasons(difference: LineDifference, measure: Measure) -> list[str]:
    """Return what a line does more, the most important first."""
    found: list[tuple[float, str]] = []
    by_name: dict[str, Amount] = {}
    behind: dict[str, int] = {}  # calls in the backward pass
    for (name, backward), amount in difference.amounts.items():
        by_name.setdefault(name, Amount()).add(amount)
        behind[name] = behind.get(name, 0) + (round(amount.calls) if backward else 0)
    least = 0.05 * max((abs(getattr(a, measure)) for a in by_name.values()), default=0.0)
    for name, amount in by_name.items():
        size = float(getattr(amount, measure))
        calls = round(amount.calls)
        if name == PYTHON[0]:
            if measure == "seconds" and size > max(least, _SHORT):
                found.append((size, f"{wording.seconds(size)} outside of operators"))
        elif calls and size >= least:
            of_them = f" ({behind[name]} in the backward pass)" if behind[name] else ""
            found.append((size, f"{calls:+d} {name}{of_them}"))
        elif size > max(least, _SHORT) and measure == "seconds":
            found.append((size, f"{name} takes {wording.seconds(size)} longer"))
        elif size > least and measure == "bytes":
            found.append((size, f"{wording.size(round(size))} more of {name}"))
    found.sort(key=lambda pair: -pair[0])
    return [words for _, words in found[:3]]


def grouped(attributions: Sequence[tuple[str, Attribution]]) -> list[tuple[NamedLine, list[tuple[str, float]]]]:
    """Return the lines that are named, each once, with the benchmarks that it is named for and its shares there."""
    found: dict[tuple[str, int, bool], tuple[NamedLine, list[tuple[str, float]]]] = {}
    for benchmark, attribution in attributions:
        for line in attribution.lines:
            key = line.file, line.line, line.gone
            best, shares = found.get(key, (line, []))
            shares.append((benchmark, line.share))
            found[key] = (best if best.share >= line.share else line), shares
    return sorted(found.values(), key=lambda pair: -sum(share for _, share in pair[1]))
