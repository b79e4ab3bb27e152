"""Compares a subject with what it must compute, keeps the figures, and describes what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from mhsa.oracle.binomial import surprising
from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.case_files.case_json import encode
from mhsa.records.facts import jsonable


class Violation(AssertionError):
    """A property does not hold. ``facts`` holds observed, required and so on, ready for JSON."""

    def __init__(self, message: str, facts: dict[str, Any]) -> None:
        super().__init__(message)
        self.facts = facts


Inapplicable: type[BaseException] = pytest.skip.Exception  # what :func:`inapplicable` raises


@dataclass
class CurrentCall:
    """The call that is being checked. Its parts are functions, because they are evaluated only if a check fails.

    Attributes:
        describe: the case, ready for JSON; ``words`` says it in one line.
        dtype: the largest ratios are kept for each; "any" where a case has no tensors.
        inputs: the numbers that go into the call, by name.
        answer: output and weights, observed and required, ready for JSON; None where there are too many numbers, or none.
    """

    describe: Callable[[], dict[str, Any]]
    dtype: str
    inputs: Callable[[], dict[str, Array]] = dict
    answer: Callable[[], dict[str, Any] | None] = lambda: None


@dataclass
class Record:
    """The figures of one property on one subject.

    Attributes:
        cases: how many were checked up to the first failure.
        worst: the largest error / bound; None where nothing was compared.
        ratios: the same for each dtype.
        failed: whether a check has failed.
        expected_failure: why the property does not hold, as the contract has declared; or empty.
        ended: outcome, reason and facts of a property after which the GPU does not work any more.
        call: that is being checked; None before the first.
        drawn: the arguments that Hypothesis has drawn for the property.
        recorder: a :class:`mhsa.judge.script.recorded_calls.Recorder`, where a script is to be made of the calls.
    """

    cases: int = 0
    worst: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    failed: bool = False
    expected_failure: str = ""
    ended: tuple[str, str, dict[str, Any] | None] | None = None
    call: CurrentCall | None = None
    drawn: dict[str, Any] = field(default_factory=dict)
    recorder: Any = None

    def start(self, call: CurrentCall) -> None:
        """Begin a case."""
        self.call = call
        if not self.failed:  # what comes after the first failure is Hypothesis making it smaller
            self.cases += 1

    def drop_tensors(self) -> None:
        """Keep no more of the current call than its description: its tensors cannot be trusted, or not be read."""
        if self.call is not None:
            self.call = CurrentCall(self.call.describe, self.call.dtype)

    def forget(self) -> None:
        """Drop the last case: a session keeps its records to the end, and would keep thousands of modules with them."""
        self.call, self.drawn, self.recorder = None, {}, None

    def add_ratio(self, ratio: float) -> None:
        """Keep the largest error / bound."""
        self.worst = ratio if self.worst is None else max(self.worst, ratio)
        if self.call is not None:
            self.ratios[self.call.dtype] = max(ratio, self.ratios.get(self.call.dtype, 0.0))

    def facts(self) -> dict[str, Any]:
        """Return the case and the arguments of the property, for a failure."""
        return {"case": None if self.call is None else self.call.describe(), "drawn": encode(self.drawn)}


_current: ContextVar[Record | None] = ContextVar("mhsa_record", default=None)


@contextlib.contextmanager
def recording() -> Iterator[Record]:
    """Keep the figures of everything that is checked inside."""
    record = Record()
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)


def current() -> Record:
    """Return the record in progress (a throw-away one outside of a property)."""
    return _current.get() or Record()


def fail(message: str, **facts: Any) -> NoReturn:
    """Raise the one exception that means: the subject is wrong. Every violation leaves from this line.

    Hypothesis takes failures from different lines for different bugs and would shrink each by itself.
    """
    record = current()
    record.failed = True
    call = record.call
    inputs = {} if call is None else call.inputs()
    shown = {name: numbers for name, x in inputs.items() if (numbers := listed(x)) is not None}
    whole = {"message": message, **facts, **record.facts(), "answer": None if call is None else call.answer(), **shown}
    raise Violation(message, jsonable(whole))


def start_without_tensors(case: dict[str, Any]) -> None:
    """Begin a case without a :class:`mhsa.records.case.Case`; ``words`` says it in one line."""
    current().start(CurrentCall(lambda: case, "any"))


def offered(weights: Array | None) -> Array:
    """Return the weights; where the subject returns none, the property is not applicable."""
    if weights is None:
        inapplicable("needs weights [B, H, Tq, Tk], and the subject returns none")
    return weights


def offered_lse(lse: Array | None) -> Array:
    """Return the log-sum-exp; where the subject returns none that is judged, the property is not applicable."""
    if lse is None:
        inapplicable("needs a log-sum-exp [B, H, Tq], and the subject returns none")
    return lse


def inapplicable(reason: str) -> NoReturn:
    """End a property that is not applicable to this subject; the reason is shown."""
    pytest.skip(reason)


def not_under(where: str, what: str) -> None:
    """End a property that does not apply under a declared feature; ``where`` says which, or is empty where there is none."""
    if where:
        inapplicable(f"{what}: not under {where}")


def end_with_device(reason: str, *, wrong: bool) -> NoReturn:
    """End a property after whose last call the CUDA context is unusable: as a violation, or as not applicable.

    No call can be repeated, so no smaller case is looked for, and no number is read.
    """
    record = current()
    record.failed = wrong
    facts = {"message": reason, "what": "call", "observed": reason, **record.facts()}
    record.ended = ("fail", reason, facts) if wrong else ("not-applicable", reason, None)
    record.drop_tensors()
    pytest.skip(reason)  # which Hypothesis lets pass at once


def expected_failure(reason: str) -> None:
    """Note that the property does not hold, as the contract declares, for this reason."""
    current().expected_failure = reason


def count_as_expected(what: str, count: int, trials: int, probability: float) -> None:
    """Require that a count of independent random events is not improbable."""
    if surprising(count, trials, probability):
        fail(
            f"{count} of {trials} {what} ({count / trials:.3f}), but must be about {probability:.3f} of them: "
            "the probability of that is below 1e-9",
            what=what, observed=count / trials, required=probability,
        )  # fmt: skip


def within(what: str, observed: Array, required: Bounded, judged: NDArray[np.bool_] | None = None) -> None:
    """Require that every element is within the bound; ``judged`` (broadcastable) leaves elements out."""
    _compare(what, observed, required.value, required.error, judged)


def agree(
    what: str,
    first: tuple[Array, Array],
    second: tuple[Array, Array],
    judged: NDArray[np.bool_] | None = None,
) -> None:
    """Require that two evaluations (value, bound) of one quantity differ by at most the sum of their bounds."""
    _compare(what, first[0], second[0], first[1] + second[1], judged)


def exactly(what: str, observed: Array, required: Array, judged: NDArray[np.bool_] | None = None) -> None:
    """Require equality without any tolerance, of a result: NaN and infinities are never right, whatever is required."""
    _compare(what, observed, required, np.zeros_like(required), judged)


def unchanged(what: str, observed: Array, before: Array) -> None:
    """Require the numbers that were there before, NaN, infinities and signs of zero included: an additive mask holds -inf."""
    _require_shape(what, observed, before)
    same = (observed == before) & (np.signbit(observed) == np.signbit(before)) | np.isnan(observed) & np.isnan(before)
    current().add_ratio(0.0 if same.all() else float("inf"))
    if same.all():
        return
    where = tuple(int(i) for i in np.argwhere(~same)[0])
    got, must = float(observed[where]), float(before[where])
    count = f"; {int((~same).sum())} of {same.size} elements have changed" if same.size > 1 else ""
    fail(
        f"{_element(what, where)}={_digits(got, must)}, but must be {_digits(must, got)} exactly, as before{count}",
        what=what, where=list(where), observed=_number(got), required=_number(must), bound=0.0,
        observed_all=listed(observed), required_all=listed(before),
    )  # fmt: skip


def finite(what: str, observed: Array, judged: NDArray[np.bool_] | None = None) -> None:
    """Require that there is no NaN and no infinity."""
    _compare(what, np.where(np.isfinite(observed), 0.0, observed), np.zeros_like(observed), np.zeros_like(observed), judged)


def _compare(what: str, observed: Array, required: Array, bound: Array, judged: NDArray[np.bool_] | None) -> None:
    _require_shape(what, observed, required)
    if judged is not None:
        judged = np.broadcast_to(judged, observed.shape)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = np.abs(observed - required)
        ratio = np.where(difference == 0.0, 0.0, difference / bound)
    ratio = np.where(np.isfinite(observed) & ~np.isnan(ratio), ratio, np.inf)
    if judged is not None:
        ratio = np.where(judged, ratio, 0.0)
    if ratio.size == 0:
        return
    worst = float(ratio.max())
    current().add_ratio(worst)
    if worst <= 1.0:
        return
    where = tuple(int(i) for i in np.unravel_index(int(ratio.argmax()), ratio.shape))
    element = _element(what, where)
    got, must, tolerance = float(observed[where]), float(required[where]), float(bound[where])
    shown = f" +- {tolerance:.2g}" if tolerance else " exactly"
    size = f" (error/bound {worst:.3g})" if tolerance and np.isfinite(worst) else ""
    wrong = int((ratio > 1.0).sum())
    count = f"; {wrong} of {ratio.size} elements are wrong" if ratio.size > 1 else ""
    if not np.isfinite(must) or (not np.isfinite(got) and not tolerance):
        fail(
            f"{element}={got}, but must be finite{count}",
            what=what, where=list(where), observed=_number(got), required="finite",
        )  # fmt: skip
    fail(
        f"{element}={_digits(got, must)}, but must be {_digits(must, got)}{shown}{size}{count}",
        what=what, where=list(where), observed=_number(got), required=_number(must), bound=tolerance,
        error_over_bound=_number(worst), observed_all=listed(observed), required_all=listed(required),
    )  # fmt: skip


def _require_shape(what: str, observed: Array, required: Array) -> None:
    if observed.shape != required.shape:
        fail(
            f"{what} has shape {list(observed.shape)}, but must be {list(required.shape)}",
            what=what, observed=list(observed.shape), required=list(required.shape),
        )  # fmt: skip


def _element(what: str, where: tuple[int, ...]) -> str:
    return f"{what}[{', '.join(map(str, where))}]"


def _digits(x: float, other: float) -> str:
    """A number with as many digits as distinguish it from the other, at least 9."""
    digits = 9
    while digits < 17 and f"{x:.{digits}g}" == f"{other:.{digits}g}":
        digits += 2
    return f"{x:.{digits}g}"


def _number(x: float) -> float | str:
    return x if np.isfinite(x) else str(x)  # JSON has no NaN and no infinity


def listed(array: Array, most: int = 64) -> Any:
    """Nested lists, unless there are too many numbers to look at."""
    if array.size > most:
        return None
    return np.vectorize(_number, otypes=[object])(array).tolist()
