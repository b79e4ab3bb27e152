"""What each line of head costs more than base, and where that comes from: a changed line, or one that a change reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mhsa.bench.compare.attribution.matching import Matching, match
from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.statement_costs import OUTSIDE, Amount, Operator, Place, StatementCost, costs_of
from mhsa.bench.compare.attribution.statements import Statement

PYTHON: Operator = ("", False)  # seconds outside of operators
_PYTHON = 0.2  # of a line's time: less of it may be what the clock is off by


@dataclass
class LineDifference:
    """What one statement costs more at head.

    Attributes:
        statement: at head, or at base if ``gone``; None for all that is outside of the subject's files.
        changed: whether base does not have it.
        gone: whether head does not have it.
        instead: what base has in its place.
        does_the_same: whether it is executed as often as at base, or what it stands in the place of, and calls the same
            operators with the same forms: then it cannot be the reason for a difference, only the clock's.
        noise: the standard error of its seconds at both.
        amounts: by operator; :data:`PYTHON` for the time outside of them.
        hits: how often it is executed at base and at head.
        inputs: forms of tensors that its operators are given at head, and not at base.
        came_from: the place of the line that a change came from, if that is another one.
    """

    statement: Statement | None
    changed: bool = False
    gone: bool = False
    instead: tuple[Statement, ...] = ()
    does_the_same: bool = False
    noise: float = 0.0
    amounts: dict[Operator, Amount] = field(default_factory=dict)
    hits: tuple[int, int] = (0, 0)
    inputs: tuple[str, ...] = ()
    came_from: Place | None = None

    @property
    def total(self) -> Amount:
        """All of it."""
        total = Amount()
        for amount in self.amounts.values():
            total.add(amount)
        return total


class Sides:
    """Both commits' statements, and which is which."""

    def __init__(self, base: CallProfile, head: CallProfile) -> None:
        self.base, self.head = costs_of(base), costs_of(head)
        self.matching: Matching = match(
            [c.statement for c in self.base.values() if c.statement], [c.statement for c in self.head.values() if c.statement]
        )
        self.matching.base_of[OUTSIDE] = OUTSIDE

    def differences(self) -> dict[Place, LineDifference]:
        """Return the difference of each statement of head by its place, and of what is gone by its place at base."""
        found: dict[Place, LineDifference] = {}
        pools = {place: _amounts(self.base[place]) for place in self.matching.gone}
        for place, cost in self.head.items():
            before = self.matching.base_of.get(place)
            if before is not None and before in self.base:
                found[place] = self._same_line(cost, self.base[before])
                continue
            instead = self.matching.instead.get(place, ())
            amounts = _amounts(cost)
            for one in instead:
                _take(amounts, pools[one])
            _level(amounts, cost, [self.base[one] for one in instead])
            statements = tuple(s for one in instead if (s := self.base[one].statement))
            found[place] = LineDifference(
                cost.statement, changed=True, instead=statements, noise=cost.noise, amounts=amounts, hits=(0, cost.hits)
            )
        for place, difference in found.items():
            if difference.changed:
                difference.does_the_same = self._is_rewritten(place, difference)
        for place, difference in found.items():  # what has moved into another function stands in the place of nothing
            if difference.changed:
                for one in self.matching.gone:
                    if one not in self.matching.instead.get(place, ()):
                        _take(difference.amounts, pools[one])
        for place in found:
            found[place].came_from = self._origin(place, found)
        for place, pool in pools.items():
            cost = self.base[place]
            lost = {name: amount.times(-1.0) for name, amount in pool.items()}
            found[f"base of {place[0]}", place[1]] = LineDifference(
                cost.statement, gone=True, noise=cost.noise, amounts=lost, hits=(cost.hits, 0)
            )
        return found

    def _is_rewritten(self, place: Place, difference: LineDifference) -> bool:
        """Whether a line that base does not have does what those do that it has in its place: a name is another, say."""
        before, cost = self.matching.instead.get(place, ()), self.head[place]
        inputs = {key for one in before for key in self.base[one].inputs}
        calls = any(round(a.calls) for name, a in difference.amounts.items() if name != PYTHON)
        python = difference.amounts[PYTHON].seconds
        return bool(before) and not calls and inputs >= set(cost.inputs) and python < _PYTHON * cost.seconds

    def _same_line(self, head: StatementCost, base: StatementCost) -> LineDifference:
        amounts = _amounts(head)
        for name, amount in _amounts(base).items():
            amounts.setdefault(name, Amount()).add(amount, -1.0)
        _level(amounts, head, [base])
        before = {form for _, form in base.inputs}
        new = tuple(dict.fromkeys(form for _, form in head.inputs if form not in before))
        return LineDifference(
            head.statement, does_the_same=head.does_the_same_as(base), noise=head.noise + base.noise, amounts=amounts,
            hits=(base.hits, head.hits), inputs=new,
        )  # fmt: skip

    def _origin(self, place: Place, found: Mapping[Place, LineDifference]) -> Place | None:
        """Return the changed line that a line which is the same, and does not do the same, has that from."""
        difference = found[place]
        if difference.changed or difference.does_the_same or place == OUTSIDE:
            return None
        base, head = difference.hits
        if head > base and (nearest := self._around(place, found)) is not None:
            return nearest
        if (maker := _search(self.head, place, lambda p: p in found and found[p].changed)) is not None:
            return maker
        gone = _search(self.base, self.matching.base_of[place], lambda p: p in self.matching.gone)
        if gone is not None:
            return f"base of {gone[0]}", gone[1]
        return self._around(place, found)

    def _around(self, place: Place, found: Mapping[Place, LineDifference]) -> Place | None:
        """Return the nearest changed line that a line is executed under: a loop or condition around it, or what calls it."""
        for inner in (place, *self.head[place].called_from):
            statement = self.head[inner].statement
            around = [(statement.file, line) for line in statement.around] if statement else []
            for outer in (*([] if inner == place else [inner]), *around):
                if outer in found and found[outer].changed:
                    return outer
        return None


def _search(costs: Mapping[Place, StatementCost], start: Place, wanted: object) -> Place | None:
    """Return the nearest wanted line among those that made what a line is given, and what they were given."""
    assert callable(wanted)
    seen, level = {start}, [start]
    while level:
        following: list[Place] = []
        for place in level:
            for maker in sorted(costs[place].made_by if place in costs else ()):
                if maker not in seen:
                    seen.add(maker)
                    following.append(maker)
        for place in following:
            if wanted(place):
                return place
        level = following
    return None


def _amounts(cost: StatementCost) -> dict[Operator, Amount]:
    return {PYTHON: Amount(cost.python)} | {name: amount.times(1.0) for name, amount in cost.operators.items()}


def _level(amounts: dict[Operator, Amount], head: StatementCost, base: list[StatementCost]) -> None:
    """Let an operator that is called as often with tensors of the same forms make no difference: only the clock's is left."""
    for name, amount in amounts.items():
        if name == PYTHON or round(amount.calls):
            continue
        forms = {form: calls for (operator, form), calls in head.inputs.items() if operator == name}
        before: dict[str, int] = {}
        for cost in base:
            for (operator, form), calls in cost.inputs.items():
                if operator == name:
                    before[form] = before.get(form, 0) + calls
        if forms == before:
            amount.seconds = amount.bytes = 0.0


def _take(amounts: dict[Operator, Amount], pool: dict[Operator, Amount]) -> None:
    """Take off from some amounts what the same operators cost in another place, where they are not any more."""
    for name in list(pool):
        if name not in amounts:
            continue
        there, here = pool[name], amounts[name]
        if name == PYTHON:
            share = min(1.0, max(here.seconds, 0.0) / there.seconds) if there.seconds > 0 else 0.0
        else:
            share = min(1.0, max(here.calls, 0.0) / there.calls) if there.calls > 0 else 0.0
        part = there.times(share)
        here.add(part, -1.0)
        there.add(part, -1.0)
        if share >= 1.0:
            del pool[name]
