"""What each statement costs at one commit, wherever it is called from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.statements import Statement

Place = tuple[str, int]  # file and first line of a statement
OUTSIDE: Place = ("", 0)  # of the subject's files
Operator = tuple[str, bool]  # its name, and whether the backward pass calls it


@dataclass
class Amount:
    """What something costs; the difference of two, too."""

    seconds: float = 0.0
    calls: float = 0.0
    bytes: float = 0.0

    def add(self, other: Amount, sign: float = 1.0) -> None:
        """Add another, or subtract it."""
        self.seconds += sign * other.seconds
        self.calls += sign * other.calls
        self.bytes += sign * other.bytes

    def times(self, share: float) -> Amount:
        """Return a share of it."""
        return Amount(share * self.seconds, share * self.calls, share * self.bytes)


@dataclass
class StatementCost:
    """What one statement costs in a call.

    Attributes:
        statement: None for what is outside of the subject's files.
        hits: how often it was executed.
        python: seconds outside of operators.
        noise: the standard error of its seconds.
        operators: what each costs.
        inputs: what operators were given, and how often.
        made_by: statements that made what its operators were given.
        called_from: statements that call its function, the nearest first.
    """

    statement: Statement | None
    hits: int = 0
    python: float = 0.0
    noise: float = 0.0
    operators: dict[Operator, Amount] = field(default_factory=dict)
    inputs: dict[tuple[Operator, str], int] = field(default_factory=dict)
    made_by: set[Place] = field(default_factory=set)
    called_from: list[Place] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """All of its time."""
        return self.python + sum(amount.seconds for amount in self.operators.values())

    def does_the_same_as(self, other: StatementCost) -> bool:
        """Whether both are executed as often and call the same operators with tensors of the same form."""
        calls = {name: amount.calls for name, amount in self.operators.items()}
        others = {name: amount.calls for name, amount in other.operators.items()}
        return self.hits == other.hits and calls == others and self.inputs == other.inputs


def place_of(statement: Statement | None) -> Place:
    """Return where a statement is."""
    return (statement.file, statement.line) if statement else OUTSIDE


def costs_of(profile: CallProfile) -> dict[Place, StatementCost]:
    """Return what each statement costs, in the order in which they were executed first."""
    found: dict[Place, StatementCost] = {}
    places = [place_of(line.statement) for line in profile.lines]
    for number, line in enumerate(profile.lines):
        cost = found.setdefault(places[number], StatementCost(line.statement))
        cost.hits += line.hits
        cost.python += line.outside
        cost.noise += line.noise
        for use in line.operators:
            name = use.name, use.backward
            cost.operators.setdefault(name, Amount()).add(Amount(use.seconds, use.calls, use.bytes))
            for form, calls in use.inputs.items():
                cost.inputs[name, form] = cost.inputs.get((name, form), 0) + calls
            cost.made_by |= {places[maker] for maker in use.made_by}
        for above in _above(profile, places, number):
            if above not in cost.called_from and above != places[number]:
                cost.called_from.append(above)
    return found


def _above(profile: CallProfile, places: list[Place], number: int) -> Iterator[Place]:
    return (places[above] for above in profile.above(number))
