"""Which statement of base is which of head: the same text is the same statement, however far it has moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from mhsa.bench.compare.attribution.statement_costs import Place, place_of
from mhsa.bench.compare.attribution.statements import Statement


@dataclass
class Matching:
    """Two commits' statements.

    Attributes:
        base_of: by a place at head, that of the same statement at base.
        instead: by a place at head whose statement base does not have, the places at base that it stands in the place of.
        gone: places at base whose statements head does not have.
    """

    base_of: dict[Place, Place] = field(default_factory=dict)
    instead: dict[Place, tuple[Place, ...]] = field(default_factory=dict)
    gone: list[Place] = field(default_factory=list)


def match(base: Iterable[Statement], head: Iterable[Statement]) -> Matching:
    """Match statements of the same file in their order, and what is left by its function, then by its text alone."""
    of_base, of_head = _by_file(base), _by_file(head)
    found = Matching()
    hunks: list[tuple[list[Statement], list[Statement]]] = []
    for name in dict.fromkeys((*of_base, *of_head)):
        old, new = of_base.get(name, []), of_head.get(name, [])
        matcher = SequenceMatcher(None, [s.key for s in old], [s.key for s in new], autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            if kind == "equal":
                found.base_of |= {place_of(n): place_of(o) for o, n in zip(old[a:b], new[c:d], strict=True)}
            else:
                hunks.append((old[a:b], new[c:d]))
    left = [statement for old, _ in hunks for statement in old]
    for with_function in (True, False):
        waiting: dict[tuple[str, str], list[Statement]] = defaultdict(list)
        for statement in left:
            waiting[_name(statement, with_function)].append(statement)
        for _, new in hunks:
            for statement in new:
                same = waiting[_name(statement, with_function)]
                if same and place_of(statement) not in found.base_of:
                    old_one = same.pop(0)
                    left.remove(old_one)
                    found.base_of[place_of(statement)] = place_of(old_one)
    found.gone = [place_of(statement) for statement in left]
    for old, new in hunks:
        before = tuple(place_of(s) for s in old if place_of(s) in found.gone)
        found.instead |= {place_of(s): before for s in new if place_of(s) not in found.base_of}
    return found


def _by_file(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    found: dict[str, list[Statement]] = defaultdict(list)
    for statement in sorted(statements, key=lambda s: (s.file, s.line)):
        found[statement.file].append(statement)
    return found


def _name(statement: Statement, with_function: bool) -> tuple[str, str]:
    return statement.function if with_function else "", statement.key
