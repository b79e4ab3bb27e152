"""Which line of the subject runs, and how long: every moment of a call belongs to one line of its own code."""

from __future__ import annotations

import statistics
import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from mhsa.bench.measure.captured.own_tools import now
from mhsa.bench.measure.cpu_wait import waited

_TRIES = 15
_LONG = 100e-6  # seconds: a process that loses the processor gets it back later than that


@dataclass
class OperatorTally:
    """Calls of one operator by one line."""

    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    inputs: dict[str, int] = field(default_factory=dict)
    made_by: set[int] = field(default_factory=set)  # ids of nodes


@dataclass(eq=False)
class LineNode:
    """A line, in one place of the tree of calls.

    Attributes:
        code, line: where; None for what is outside of the subject.
        seconds: in which it was the innermost line of the subject.
        events, calls: how often the tracer was called meanwhile, at lines and at calls of functions of the subject and their
            ends: that costs time that is not the line's.
        operators: by name, and whether its backward pass calls them.
    """

    code: CodeType | None = None
    line: int = 0
    seconds: float = 0.0
    events: int = 0
    calls: int = 0
    hits: int = 0
    operators: dict[tuple[str, bool], OperatorTally] = field(default_factory=dict)
    children: dict[tuple[CodeType, int], LineNode] = field(default_factory=dict)

    def child(self, code: CodeType, line: int) -> LineNode:
        """Return the node of a line of a function that this line calls."""
        key = code, line
        if key not in self.children:
            self.children[key] = LineNode(code, line)
        return self.children[key]


class LineTracer:
    """Follows one call; ``root`` is then what it found.

    Args:
        is_own: whether a file is the subject's; it is asked at every call, so it must be fast.
        wait: waits for what a line has begun elsewhere: a GPU.
        number: of the next node of autograd, where a backward pass is to be followed: what a line makes has the numbers from
            the one before it to the one after it.
    """

    def __init__(
        self, is_own: Callable[[str], bool], wait: Callable[[], object] | None = None, number: Callable[[], int] | None = None
    ) -> None:
        self.root = self.current = LineNode()
        self._is_own, self._wait, self._number = is_own, wait, number
        self._callers: list[LineNode] = []
        self._since = self._waited = 0.0
        self._next = number() if number else 0
        self._starts: list[int] = []
        self._makers: list[LineNode] = []

    def follow(self, call: Callable[[], object]) -> object:
        """Make the call, and return its result."""
        before = sys.gettrace()
        self._waited = waited()
        self._since = now()
        sys.settrace(self._called)
        try:
            return call()
        finally:
            sys.settrace(before)
            self._charge()

    def maker(self, number: int) -> LineNode | None:
        """Return the line that made a node of autograd."""
        place = bisect_right(self._starts, number) - 1
        return self._makers[place] if place >= 0 else None

    def ran(self, took: float) -> float:
        """Return what of some seconds until now the process had the processor, or slept, and did not wait for it."""
        before, self._waited = self._waited, waited()
        return max(0.0, took - (self._waited - before))

    def _charge(self) -> None:
        """Let the time until now be that of the current line."""
        if self._wait:
            self._wait()
        took = now() - self._since
        self.current.seconds += took if took < _LONG else self.ran(took)
        if self._number and (number := self._number()) != self._next:
            self._starts.append(self._next)
            self._makers.append(self.current)
            self._next = number

    def _called(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if not self._is_own(code.co_filename):
            self.current.events += 1
            return None
        self._charge()
        self.current.calls += 1
        self._callers.append(self.current)
        self.current = self.current.child(code, frame.f_lineno)
        self._since = now()
        return self._inside

    def _inside(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "line":
            self._charge()
            self.current.events += 1
            self.current = self._callers[-1].child(frame.f_code, frame.f_lineno)
            self.current.hits += 1
            self._since = now()
        elif event == "return":
            self._charge()
            self.current.calls += 1
            self.current = self._callers.pop()
            self._since = now()
        return self._inside


@dataclass(frozen=True)
class TracingCost:
    """Seconds that the tracer takes, of those that it takes for the line's own: for a line, and for a call or its end."""

    line: float
    call: float

    def of(self, node: LineNode) -> float:
        """Return what it has taken of a node."""
        return node.events * self.line + node.calls * self.call


def cost_of_tracing() -> TracingCost:
    """Measure it by a loop of lines, and by a generator, whose function is called and left again for each number."""

    def lines() -> None:
        n = 0
        for _ in range(500):
            n = 1
            n = 2
        assert n

    def calls() -> None:
        sum(n for n in range(500))

    line = statistics.median(_longer(lines) / max(_events(lines), 1) for _ in range(_TRIES))
    of_lines, of_calls = _events(calls), _calls(calls)
    call = statistics.median((_longer(calls) - of_lines * line) / max(of_calls, 1) for _ in range(_TRIES))
    return TracingCost(max(0.0, line), max(0.0, call))


def _nodes(work: Callable[[], object]) -> list[LineNode]:
    tracer = LineTracer(lambda name: name == __file__)
    tracer.follow(work)
    found, left = [], [tracer.root]
    while left:
        node = left.pop()
        found.append(node)
        left += node.children.values()
    return found


def _events(work: Callable[[], object]) -> int:
    return sum(node.events for node in _nodes(work))


def _calls(work: Callable[[], object]) -> int:
    return sum(node.calls for node in _nodes(work))


def _longer(work: Callable[[], object]) -> float:
    """Return by how many seconds all lines together take longer than work that nothing follows."""
    begin = now()
    work()
    plain = now() - begin
    return sum(node.seconds for node in _nodes(work)) - plain
