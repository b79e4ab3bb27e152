"""Profiles a call: plain runs for its time, runs with the lines followed, and runs with the operators, in turns."""

from __future__ import annotations

import gc
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from mhsa.bench.compare.attribution.line_tracer import LineNode, LineTracer, cost_of_tracing
from mhsa.bench.compare.attribution.operator_tracer import OperatorTracer, cost_of_an_operator
from mhsa.bench.compare.attribution.profile_record import CallProfile, OperatorUse, ProfiledLine
from mhsa.bench.compare.attribution.statements import SourceFile, Statement
from mhsa.bench.measure.captured.own_tools import now
from mhsa.bench.measure.cpu_wait import waited

_PLAIN = 3  # plain runs for each that is followed
_MOOD = 2.0  # times what following a call was seen to take: what it takes longer beyond that has another reason
Place = tuple[Statement, ...]  # the way to a line: the lines that are called through, and itself; () for outside


class Profiler:
    """Runs one call again and again; :meth:`result` is what is known then.

    Args:
        call: what is profiled.
        tree: the folder of the subject's files.
        device: that it runs on.
        backward: whether the call has a backward pass.
    """

    def __init__(self, call: Callable[[], object], tree: Path, device: str, *, backward: bool) -> None:
        self._call, self._tree = call, tree.resolve()
        self._wait = _wait(device)
        self._number: Callable[[], int] | None = torch._C._autograd._get_sequence_nr if backward else None
        self._files: dict[str, SourceFile] = {}
        self._own: dict[str, bool] = {}
        self._tracing, self._operator = cost_of_tracing(), cost_of_an_operator()
        self._plain: list[float] = []
        self._seconds: dict[Place, list[float]] = defaultdict(list)
        self._hits: dict[Place, int] = {}
        self._operators: dict[Place, dict[tuple[str, bool], OperatorUse]] = {}
        self._made_by: dict[tuple[Place, str, bool], set[Place]] = {}
        self._took: dict[tuple[Place, str, bool], list[float]] = defaultdict(list)
        self.runs = 0
        for _ in range(2):  # what is done once only is no part of it
            call()

    def once(self) -> None:
        """Make one run of each kind."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(_PLAIN):
                begin, before = now(), waited()
                kept = self._call()
                if self._wait:
                    self._wait()
                self._plain.append(now() - begin - (waited() - before))
                del kept
            lines = LineTracer(self._is_own, self._wait)
            kept = lines.follow(self._call)
            del kept
            self._add_lines(lines)
            watched = LineTracer(self._is_own, self._wait, self._number)
            with OperatorTracer(watched, self._wait):
                kept = watched.follow(self._call)
            del kept
            self._add_operators(watched)
            self.runs += 1
        finally:
            if collecting:
                gc.enable()

    def result(self) -> CallProfile:
        """Return what every other run had, at least."""
        places = [place for place, seconds in self._seconds.items() if 2 * len(seconds) >= self.runs]
        numbers = {place: n for n, place in enumerate(places)}
        operators = {place: self._uses(place, numbers) for place in places}
        # The backward pass runs below no line of the subject, and is that of the lines that it is of.
        beyond = statistics.median(self._seconds[()])
        behind = sum(o.seconds for uses in operators.values() for o in uses if o.backward)
        scale = min(1.0, beyond / behind) if behind else 0.0
        found = []
        for place in places:
            uses = tuple(replace(o, seconds=o.seconds * scale) if o.backward else o for o in operators[place])
            seconds = statistics.median(self._seconds[place]) + sum(o.seconds for o in uses if o.backward)
            if not place:
                seconds = max(0.0, seconds - behind * scale)
            within = sum(o.seconds for o in uses)
            if within > seconds:  # what watches an operator takes time, too
                uses = tuple(replace(o, seconds=o.seconds * seconds / within) for o in uses)
            parent = numbers.get(place[:-1], 0) if place else -1
            noise = _uncertainty(self._seconds[place])
            found.append(ProfiledLine(parent, place[-1] if place else None, seconds, noise, self._hits.get(place, 0), uses))
        return CallProfile(statistics.median(self._plain), tuple(found))

    def _uses(self, place: Place, numbers: dict[Place, int]) -> tuple[OperatorUse, ...]:
        found = []
        for (name, backward), use in self._operators.get(place, {}).items():
            makers = self._made_by.get((place, name, backward), ())
            seconds = statistics.median(self._took[place, name, backward])
            found.append(replace(use, seconds=seconds, made_by=tuple(sorted(numbers[p] for p in makers if p in numbers))))
        return tuple(found)

    def _add_lines(self, lines: LineTracer) -> None:
        seconds: dict[Place, float] = defaultdict(float)
        hits: dict[Place, int] = defaultdict(int)
        nodes = list(self._places(lines.root, ()))
        # What following takes is known but for the machine's mood: together it is what this call took longer than a plain one.
        longer = sum(node.seconds for _, node in nodes) - statistics.median(self._plain)
        known = sum(self._tracing.of(node) for _, node in nodes)
        scale = min(max(longer, 0.0) / known, _MOOD) if known else 0.0
        for place, node in nodes:
            seconds[place] += max(0.0, node.seconds - scale * self._tracing.of(node))
            hits[place] += node.hits
        for place, spent in seconds.items():
            self._seconds[place].append(spent)
        self._hits = hits

    def _add_operators(self, lines: LineTracer) -> None:
        places = {id(node): place for place, node in self._places(lines.root, ())}
        found: dict[Place, dict[tuple[str, bool], OperatorUse]] = {}
        self._made_by.clear()
        took: dict[tuple[Place, str, bool], float] = defaultdict(float)
        for place, node in self._places(lines.root, ()):
            here = found.setdefault(place, {})
            for (name, backward), tally in node.operators.items():
                key = place, name, backward
                before = here.get((name, backward), OperatorUse(name, backward))
                inputs = dict(before.inputs)
                for form, calls in tally.inputs.items():
                    inputs[form] = inputs.get(form, 0) + calls
                took[key] += max(0.0, tally.seconds - tally.calls * self._operator)
                self._made_by.setdefault(key, set()).update(places[n] for n in tally.made_by if n in places)
                here[name, backward] = OperatorUse(
                    name, backward, before.calls + tally.calls, 0.0, before.bytes + tally.bytes, inputs
                )
        for key, seconds in took.items():
            self._took[key].append(seconds)
        self._operators = found

    def _places(self, node: LineNode, place: Place) -> Iterator[tuple[Place, LineNode]]:
        """Yield every line with its way; the parts of one statement, a comprehension in it say, have one way."""
        yield place, node
        for (code, line), child in node.children.items():
            statement = self._file(code.co_filename).at(line)
            yield from self._places(child, place if place and place[-1] == statement else (*place, statement))

    def _file(self, name: str) -> SourceFile:
        if name not in self._files:
            path = Path(name)
            self._files[name] = SourceFile(path, str(path.resolve().relative_to(self._tree)))
        return self._files[name]

    def _is_own(self, name: str) -> bool:
        own = self._own.get(name)
        if own is None:
            path = Path(name)
            own = path.is_absolute() and "site-packages" not in path.parts and path.resolve().is_relative_to(self._tree)
            self._own[name] = own
        return own


def _uncertainty(seconds: list[float]) -> float:
    """Return the standard error of a median, from how far the quartiles are apart."""
    if len(seconds) < 4:
        return max(seconds) - min(seconds)
    low, _, high = statistics.quantiles(seconds, n=4)
    return 1.2533 * (high - low) / 1.349 / math.sqrt(len(seconds))


def _wait(device: str) -> Callable[[], object] | None:
    if torch.device(device).type != "cuda":
        return None
    return lambda: torch.cuda.synchronize(device)
