"""Failures in the order in which they help: the strongest first, and those that raise one exception at one line as a group.

A group has the condition that the smallest cases of its failures have in common, where shrinking would have removed what is
not needed. This does not prove the cause: a property that passes leaves no cases to compare with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.records.catalogue import catalogue
from mhsa.records.document.counterexample import Counterexample
from mhsa.records.power_record import recorded
from mhsa.records.results import PropertyResult

# How :func:`mhsa.records.errors.describe` describes an exception: its type, its message, and the last line outside of mhsa.
_DESCRIBED = re.compile(r"(?P<type>\w+)(?:: .*)? \((?P<file>[^()]+), line (?P<line>\d+)\)", re.DOTALL)
# The shapes of the call that raised: a property may have put another call together than its case says.
_CALL = re.compile(r"the call with ((?:\w+ \[[\d, ]*\](?:, )?)+) raised ")
_SHAPE = re.compile(r"(\w+) \[([\d, ]*)\]")


@dataclass(frozen=True)
class Raised:
    """Properties that fail by the same exception at the same line.

    Attributes:
        error: the exception's type.
        place: ``file:line``.
        members: the properties, the first to look at or the strongest first.
        condition: what all their smallest cases have in common, in words; empty where that is nothing.
    """

    error: str
    place: str
    members: tuple[PropertyResult, ...]
    condition: str

    def __str__(self) -> str:
        """Return it as one sentence."""
        common = f"; each smallest case has {self.condition}" if self.condition else ""
        return f"{len(self.members)} properties raise {self.error} at {self.place}{common}"


def strongest_first(failures: Sequence[PropertyResult]) -> list[PropertyResult]:
    """Return the failures in the order in which properties run: those that fail on most known bugs come first."""
    order = {identity: n for n, identity in enumerate(recorded().order)}  # one that was not measured yet comes last
    return sorted(failures, key=lambda p: order.get(p.id, len(order)))


def first_to_look_at(failures: Sequence[PropertyResult]) -> PropertyResult:
    """Return the failure to look at first: that with the fewest numbers in its smallest case.

    Of several, it is the one that the catalogue has first: it begins with what the output must be.
    """
    order = {p.id: n for n, p in enumerate(catalogue())}
    return min(failures, key=lambda p: (_numbers(p.counterexample or {}), order.get(p.id, len(order))))


def _numbers(counterexample: Mapping[str, Any]) -> float:
    case = _case(counterexample)
    if case is None:
        return math.inf  # a case of another kind, or none: it comes first only where there is nothing else
    mask = case["query_length"] * case["key_length"] if case["masked"] else 0
    tokens = (case["query_length"] + 2 * case["key_length"]) * case["head"] * case["d_k"]
    return float(case["batch"] * (tokens + mask))


def first_and_others(failures: Sequence[PropertyResult]) -> list[PropertyResult]:
    """Return the failure to look at first, and then the others, strongest first."""
    if not failures:
        return []
    first = first_to_look_at(failures)
    return [first, *(failure for failure in strongest_first(failures) if failure is not first)]


def grouped(failures: Sequence[PropertyResult], dtypes: Sequence[str]) -> list[PropertyResult | Raised]:
    """Return the failures in the order of :func:`first_and_others`, those that raise one exception at one line as a group.

    Args:
        failures: of one subject.
        dtypes: that it was judged in: one alone is not a condition.
    """
    ordered = first_and_others(failures)
    by_origin: dict[tuple[str, str], list[PropertyResult]] = {}
    for failure in ordered:
        if (origin := _origin(failure)) is not None:
            by_origin.setdefault(origin, []).append(failure)
    groups: list[PropertyResult | Raised] = []
    for failure in ordered:
        origin = _origin(failure)
        members = [] if origin is None else by_origin[origin]
        if origin is None or len(members) < 2:
            groups.append(failure)
        elif failure is members[0]:
            groups.append(Raised(*origin, tuple(members), common([p.counterexample or {} for p in members], dtypes)))
    return groups


def observation(failure: PropertyResult) -> str:
    """Return what was observed; of an exception its message only, since the case is shown elsewhere."""
    raised = Counterexample.of(failure.counterexample).observed
    return f"raised {raised}" if _origin(failure) is not None else failure.reason


def _origin(failure: PropertyResult) -> tuple[str, str] | None:
    """The type of the exception that the subject raised and the line, ``file:line``; None where it raised none."""
    facts = Counterexample.of(failure.counterexample)
    match = _DESCRIBED.fullmatch(str(facts.observed)) if facts.what == "call" else None
    if match is None:
        return None
    path, here = Path(match["file"]), Path.cwd()
    return match["type"], f"{path.relative_to(here) if path.is_relative_to(here) else path}:{match['line']}"


def common(counterexamples: Sequence[Mapping[str, Any]], dtypes: Sequence[str]) -> str:
    """Return what all smallest cases have in common beyond the simplest case, in words; empty where that is nothing."""
    cases = [_case(each) for each in counterexamples]
    if not cases or None in cases:
        return ""
    known = [case for case in cases if case is not None]

    def all_have(trait: Callable[[dict[str, Any]], bool]) -> bool:
        return all(trait(case) for case in known)

    words = []
    if all_have(lambda c: c["masked"]):
        empty = all_have(lambda c: c["mask"] == "fully_masked_row")
        words.append("a mask with a fully masked row" if empty else "a mask")
    if all_have(lambda c: c["query_length"] != c["key_length"]):
        signs = {"<" if c["query_length"] < c["key_length"] else ">" for c in known}
        words.append(f"Tq {signs.pop() if len(signs) == 1 else '!='} Tk")
    elif all_have(lambda c: min(c["query_length"], c["key_length"]) > 1):
        words.append("several queries and keys")
    words += [f"{sign} > 1" for sign, name in _SIZES.items() if min(c[name] for c in known) > 1]
    kinds = {c["dtype"] for c in known}
    if len(kinds) == 1 and len(set(dtypes)) > 1 and "float64" not in kinds:  # float64 is where shrinking ends
        words.append(kinds.pop())
    if all_have(lambda c: c["layout"] != "contiguous"):
        words.append("inputs that are not contiguous")
    words += ["autograd on"] if all_have(lambda c: c["grad"]) else []
    words += ["weights not asked for"] if all_have(lambda c: not c["need_weights"]) else []
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


_SIZES = {"B": "batch", "H": "head", "d_k": "d_k"}
_NEEDED = ("dtype", "batch", "head", "query_length", "key_length", "d_k", "mask", "layout", "grad", "need_weights")


def _case(counterexample: Mapping[str, Any]) -> dict[str, Any] | None:
    """The smallest case, with the shapes of the call itself where they are known; None for a case of another kind."""
    facts = Counterexample.of(counterexample)
    if any(name not in facts.case for name in _NEEDED):
        return None
    case = {name: facts.case[name] for name in _NEEDED} | {"masked": facts.case["mask"] != "none"}
    call = _CALL.match(facts.message)
    if call is None:
        return case
    shapes = {name: [int(n) for n in sizes.split(",") if n.strip()] for name, sizes in _SHAPE.findall(call[1])}
    case["masked"] = "mask" in shapes
    query, key = shapes.get("query", []), shapes.get("key", shapes.get("query", []))
    if len(query) == len(key) == 3:
        case |= {"batch": query[0], "query_length": query[1], "key_length": key[1]}
    return case
