"""The frames of a differential flame graph: functions of the subject, their lines, and the operators that these call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mhsa.bench.compare.attribution.line_differences import LineDifference, Sides
from mhsa.bench.compare.attribution.profile_record import CallProfile, OperatorUse, ProfiledLine
from mhsa.bench.compare.attribution.statement_costs import Place, place_of

_LEAST = 1e-3  # of the call: narrower frames cannot be seen


@dataclass
class FlameFrame:
    """One frame.

    Attributes:
        name: what it shows.
        seconds: at head, with all that it holds.
        change: how much of that head has more than base; negative where it has less.
        children: that it holds; what they leave is its own.
    """

    name: str
    seconds: float = 0.0
    change: float = 0.0
    children: list[FlameFrame] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many frames lie above each other."""
        return 1 + max((child.depth for child in self.children), default=0)


def frames_of(base: CallProfile, head: CallProfile) -> FlameFrame:
    """Return the frame of head's whole call."""
    differences = Sides(base, head).differences()
    children: dict[int, list[int]] = {}
    for number, line in enumerate(head.lines):
        children.setdefault(line.parent, []).append(number)
    times: dict[Place, float] = {}  # of each statement in all places
    for line in head.lines:
        times[place_of(line.statement)] = times.get(place_of(line.statement), 0.0) + line.seconds

    def of_line(number: int) -> FlameFrame:
        line = head.lines[number]
        difference = differences.get(place_of(line.statement))
        share = line.seconds / times[place_of(line.statement)] if times[place_of(line.statement)] > 0 else 1.0
        held = [*_functions(children.get(number, ()), head, of_line), *_operators(line.operators, difference, share)]
        seconds = line.seconds + sum(f.seconds for f in held if f.name.startswith(_FUNCTION))
        own = 0.0 if difference is None or difference.does_the_same else share * difference.total.seconds
        change = own + sum(f.change for f in held if f.name.startswith(_FUNCTION))
        return FlameFrame(_name(line), seconds, change, held)

    whole = of_line(0)
    whole.name = "one call"
    gone = sum(d.total.seconds for d in differences.values() if d.gone)
    whole.change += gone
    _prune(whole, _LEAST * whole.seconds)
    return whole


_FUNCTION = "def "


def _functions(numbers: Iterable[int], head: CallProfile, of_line: object) -> list[FlameFrame]:
    """Return a frame for each function whose lines these are."""
    assert callable(of_line)
    found: dict[tuple[str, str], FlameFrame] = {}
    for number in numbers:
        statement = head.lines[number].statement
        assert statement is not None
        key = statement.file, statement.function
        inner = of_line(number)
        outer = found.setdefault(key, FlameFrame(f"{_FUNCTION}{statement.function or statement.file}"))
        outer.children.append(inner)
        outer.seconds += inner.seconds
        outer.change += inner.change
    return list(found.values())


def _operators(uses: Iterable[OperatorUse], difference: LineDifference | None, share: float) -> list[FlameFrame]:
    amounts: Mapping[tuple[str, bool], object] = difference.amounts if difference and not difference.does_the_same else {}
    found = []
    for use in uses:
        amount = amounts.get((use.name, use.backward))
        change = share * float(getattr(amount, "seconds", 0.0))
        times = f" x {use.calls}" if use.calls > 1 else ""
        found.append(FlameFrame(f"{use.name}{times}{' backward' if use.backward else ''}", use.seconds, change))
    return found


def _name(line: ProfiledLine) -> str:
    return f"{line.statement.line}: {line.statement.text}" if line.statement else "outside of the subject"


def _prune(frame: FlameFrame, least: float) -> None:
    """Leave out frames that are too narrow to be seen; lines that are the same and called in passing, mostly."""
    frame.children = [child for child in frame.children if child.seconds >= least]
    for child in frame.children:
        _prune(child, least)
