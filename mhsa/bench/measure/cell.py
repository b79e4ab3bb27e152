"""Measuring several contenders at one shape, dtype and device: built, compared with the oracle, timed in turns, counted."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from mhsa.bench.measure.artificial_slowdown import slowed
from mhsa.bench.measure.call_spec import STATEMENT, as_setup
from mhsa.bench.measure.callgrind import instructions
from mhsa.bench.measure.clock import Call, Clock
from mhsa.bench.measure.counting import count
from mhsa.bench.measure.expected import Oracle, rows_of
from mhsa.bench.measure.honesty.examine import examine_again, examined, explained
from mhsa.bench.measure.honesty.fastest_possible import too_fast
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.implementation import Built, Loaded, NotMeasurable, untimed
from mhsa.bench.measure.measurement import BASELINE, Contender, Counters, Measurement, Pass
from mhsa.bench.measure.paired_timing import Timing, take_turns
from mhsa.records.errors import describe
from mhsa.records.shape import Shape

Calling = Callable[[str, str], None]
_EXECUTIONS = 5  # under callgrind: what the interpreter does now and then is evened out


@dataclass(frozen=True)
class Cell:
    """Conditions."""

    shape: Shape
    dtype: str
    device: str


class Bench:
    """Measures cells; what a contender is understood to be is kept from one to the next.

    Args:
        passes: forward (no autograd), training (forward and backward).
        budget: seconds for the blocks of one contender in one pass.
        counted: whether operators, memory and so on are counted, too.
        callgrind: whether instructions are, which takes a minute or so for each.
        checked: whether results are compared with the oracle first.
        slow_down: by which share contenders with a folder are made slower; None leaves them as they are.
        calling: is called with the name of the next call and its purpose; if the process dies, that call ended it.
        within: gives the context in which a contender's code runs, its modules being those of another commit, say.
    """

    def __init__(
        self,
        passes: Sequence[Pass],
        budget: float,
        *,
        counted: bool,
        callgrind: bool = False,
        checked: bool = True,
        slow_down: float | None = None,
        calling: Calling = lambda name, what: None,
        within: Callable[[Contender], AbstractContextManager[object]] = lambda contender: contextlib.nullcontext(),
    ) -> None:
        self.passes = passes
        self.budget = budget
        self.counted = counted
        self.callgrind = callgrind
        self.checked, self.slow_down = checked, slow_down
        self.calling = calling
        self.within = within
        self._subject = Loaded()

    def measure(self, cell: Cell, contenders: Sequence[Contender]) -> Iterator[Measurement]:
        """Yield a measurement of every contender and pass; what cannot be measured says why, and the rest goes on."""
        if torch.device(cell.device).type == "cuda" and not torch.cuda.is_available():
            reasons = {c.name: "no CUDA device" for c in contenders}
            built: dict[str, Built] = {}
            baseline: Built | str = "no CUDA device"
        else:
            cell = replace(cell, shape=self._shape(cell, contenders))
            built, reasons = self._build(cell, contenders)
            # Another one than the baseline that is measured: that one's ratio then shows what identical code gives.
            baselines, why = self._build(cell, [Contender.known(BASELINE)])
            baseline = baselines.get(BASELINE) or why[BASELINE]
        for passes in self.passes:
            blank = {c.name: Measurement(c.name, passes, cell.shape, cell.dtype, cell.device) for c in contenders}
            found = {name: replace(blank[name], reason=reason) for name, reason in reasons.items()}
            found |= self._pass(passes, cell, built, baseline, blank)
            yield from (found[c.name] for c in contenders)
        built.clear()
        gc.collect()  # modules are full of cycles, and the next cell may need the memory

    def _shape(self, cell: Cell, contenders: Sequence[Contender]) -> Shape:
        """Return the shape, with the heads and the width of the first contender that exists in one size only."""
        for contender in contenders:
            self.calling(contender.name, "loading")
            with self.within(contender):
                subject = self._subject(contender, cell.device)
            if not isinstance(subject, str) and subject.adapter.sizes is not None:
                return cell.shape.resized(*subject.adapter.sizes)
        return cell.shape

    def _build(self, cell: Cell, contenders: Sequence[Contender]) -> tuple[dict[str, Built], dict[str, str]]:
        built, reasons = {}, {}
        for contender in contenders:
            self.calling(contender.name, "loading")
            with self.within(contender):
                subject = self._subject(contender, cell.device)
            if isinstance(subject, str):
                reasons[contender.name] = subject
                continue
            self.calling(contender.name, "a first call")
            try:
                with self.within(contender):
                    built[contender.name] = self._subject.build(contender, subject, (cell.shape, cell.dtype, cell.device))
            except NotMeasurable as error:
                reasons[contender.name] = str(error)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                reasons[contender.name] = reason_of(error)
        return built, reasons

    def _pass(
        self, passes: Pass, cell: Cell, built: dict[str, Built], baseline: Built | str, blank: dict[str, Measurement]
    ) -> dict[str, Measurement]:
        found: dict[str, Measurement] = {}
        if words := untimed(cell.shape, passes):
            return {name: replace(blank[name], reason=words) for name in built}
        known = Oracle()
        calls: dict[str, FreshCalls] = {}
        for name, one in built.items():
            self.calling(name, "checking")
            try:
                with self.within(one.contender):
                    calls[name] = examined(one, passes, known) if self.checked else FreshCalls(one, passes, None)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                found[name] = _without(blank[name], error)
                continue
            if self.slow_down is not None and one.contender.request.folder:
                slowed(calls[name], self.slow_down, cell.device)
        for name, result in self._time(built, calls, baseline, cell, passes, known).items():
            if isinstance(result, BaseException):
                found[name] = _without(blank[name], result)
                continue
            counters = self._count(built[name], calls[name], cell, passes)
            found[name] = self._after(built[name], passes, calls[name], known, replace(
                blank[name], outcome="measured", seconds=result.seconds, ratio=result.ratio, low=result.low, high=result.high,
                blocks=result.blocks, rows=min(len(rows_of(cell.shape)), cell.shape.asked), counters=counters,
            ))  # fmt: skip
        for call in calls.values():
            call.put_back()
        return found

    def _after(self, one: Built, passes: Pass, calls: FreshCalls, known: Oracle, measured: Measurement) -> Measurement:
        """Return a measurement, without its figures where they cannot be believed."""
        blank = Measurement(one.contender.name, passes, measured.shape, measured.dtype, measured.device)
        if not self.checked:
            return measured
        self.calling(one.contender.name, "checking again")
        try:
            with self.within(one.contender):
                examine_again(one, passes, calls, known)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return _without(blank, error)
        assert measured.ratio
        assert measured.high
        words = too_fast(one, measured.ratio, measured.high)
        return replace(blank, outcome="suspect", reason=words) if words else measured

    def _time(
        self, built: dict[str, Built], calls: dict[str, FreshCalls], baseline: Built | str, cell: Cell, passes: Pass,
        known: Oracle,
    ) -> dict[str, Timing | BaseException]:  # fmt: skip
        """Return a timing of each, or why there is none; one that raises while it is timed is left out of another try."""
        left: dict[str, Call] = dict(calls)
        failed: dict[str, Timing | BaseException] = {}
        of_baseline = baseline if isinstance(baseline, str) else FreshCalls(baseline, passes, known if self.checked else None)
        while left and not isinstance(of_baseline, str):
            at = ""

            def calling(name: str) -> None:
                nonlocal at
                at = name
                self.calling(name, "timing")

            def within(name: str) -> AbstractContextManager[object]:
                return self.within(built[name].contender)

            try:
                with torch.set_grad_enabled(passes == "training"):
                    turns = take_turns(Clock(cell.device), of_baseline, left, self.budget, calling, within)
                of_baseline.put_back()
                return failed | dict(turns)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if at in left:
                    failed[at] = error
                    if isinstance(error, TimeRefused):
                        with self.within(built[at].contender):
                            failed[at] = explained(error, built[at], passes, calls[at])
                    del left[at]
                else:
                    of_baseline = reason_of(error)
        return failed | dict.fromkeys(left, NotMeasurable(f"the baseline, which it is compared with: {of_baseline}"))

    def _count(self, built: Built, call: Call, cell: Cell, passes: Pass) -> Counters:
        """Count what the clock does not move; it was timed, so where this fails the instruments need more than there is."""
        found = Counters()
        name = built.contender.name
        if self.counted:
            self.calling(name, "counting")
            with contextlib.suppress(Exception), self.within(built.contender), torch.set_grad_enabled(passes == "training"):
                found = count(call, cell.device)
        if self.callgrind:
            self.calling(name, "running under callgrind")
            setup = as_setup(built.contender, cell.shape, cell.dtype, cell.device, passes)
            with contextlib.suppress(Exception):
                found = replace(found, instructions=instructions(setup, STATEMENT, number=_EXECUTIONS))
        return found


def _without(blank: Measurement, error: BaseException) -> Measurement:
    """Return why there is no figure."""
    if isinstance(error, TimeRefused):
        return replace(blank, outcome=error.outcome, reason=error.reason)
    return replace(blank, reason=str(error) if isinstance(error, NotMeasurable) else reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return in words why a contender could not be measured."""
    words = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in words or "out of memory" in words:
        return f"out of memory ({words.splitlines()[0].strip()[-160:]})" if words else "out of memory"
    return describe(error)
