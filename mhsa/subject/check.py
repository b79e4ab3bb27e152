"""Comparing a subject with what it must compute, keeping the figures, and saying in words what is wrong."""

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
class Record:
    """What one property saw of one subject."""

    cases: int = 0
    worst: float | None = None
    describe: Callable[[], dict[str, Any] | None] = lambda: None
    failed: bool = False
    expected_failure: str = ""
    ended: tuple[str, str, dict[str, Any] | None] | None = None  # outcome, reason and facts: the GPU was lost
    ratios: dict[str, float] = field(default_factory=dict)
    show: Callable[[], dict[str, Array]] = dict
    drawn: dict[str, Any] = field(default_factory=dict)
    recorder: Any = None  # a mhsa.judge.standalone_script.Recorder, where a script is to be made of the calls
    answer: Callable[[], dict[str, Any] | None] = lambda: None
    _kind: str = ""

    def start(self, describe: Callable[[], dict[str, Any]], kind: str) -> None:
        """Begin a case, described only if it fails; ``kind`` is what the worst figures are kept apart by: its dtype."""
        self.describe = describe
        self.show = dict
        self.answer = lambda: None
        self._kind = kind
        if not self.failed:  # what comes after the first failure is Hypothesis making it smaller
            self.cases += 1

    def forget(self) -> None:
        """Let go of the last case: a session keeps its records to the end, and thousands of modules with them."""
        self.describe, self.show, self.answer = (lambda: None), dict, (lambda: None)
        self.drawn, self.recorder = {}, None

    def saw(self, ratio: float) -> None:
        """Keep the largest error / bound."""
        self.worst = ratio if self.worst is None else max(self.worst, ratio)
        if self._kind:
            self.ratios[self._kind] = max(ratio, self.ratios.get(self._kind, 0.0))


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
    shown = {name: numbers for name, x in record.show().items() if (numbers := listed(x)) is not None}
    found = {"message": message, **facts, "case": record.describe(), "drawn": encode(record.drawn), "answer": record.answer()}
    raise Violation(message, jsonable(found | shown))


def start_without_tensors(case: dict[str, Any]) -> None:
    """Begin a case that is no :class:`mhsa.records.case.Case`; ``words`` says it in one line."""
    current().start(lambda: case, "any")


def offered(weights: Array | None) -> Array:
    """Return the weights that the subject gives; where it gives none the property is not applicable."""
    if weights is None:
        inapplicable("needs weights [B, H, Tq, Tk], and the subject gives none")
    return weights


def inapplicable(reason: str) -> NoReturn:
    """End a property that cannot be asked of this subject; the reason is shown."""
    pytest.skip(reason)


def not_under(where: str, what: str) -> None:
    """End a property that does not apply under a declared feature; ``where`` says which, or is empty where there is none."""
    if where:
        inapplicable(f"{what}: not under {where}")


def end_with_device(reason: str, *, wrong: bool) -> NoReturn:
    """End a property after whose last call the GPU answers nothing more: as a violation, or as one that cannot be asked.

    Nothing can be tried again, so no smaller case is looked for, and no number read.
    """
    record = current()
    record.failed = wrong
    facts = {"message": reason, "what": "call", "observed": reason, "case": record.describe(), "drawn": encode(record.drawn)}
    record.ended = ("fail", reason, facts) if wrong else ("not-applicable", reason, None)
    record.show, record.answer = dict, lambda: None
    pytest.skip(reason)  # which Hypothesis lets pass at once


def expected_failure(reason: str) -> None:
    """Note that the property does not hold, as the contract has said it would, for this reason."""
    current().expected_failure = reason


def count_as_expected(what: str, count: int, trials: int, probability: float) -> None:
    """Require that a count of independent random events is no surprise."""
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
    current().saw(0.0 if same.all() else float("inf"))
    if same.all():
        return
    where = tuple(int(i) for i in np.argwhere(~same)[0])
    got, must = float(observed[where]), float(before[where])
    count = f"; {int((~same).sum())} of {same.size} elements have changed" if same.size > 1 else ""
    fail(
        f"{_place(what, where)}={_digits(got, must)}, but must be {_digits(must, got)} exactly, as before{count}",
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
    current().saw(worst)
    if worst <= 1.0:
        return
    where = tuple(int(i) for i in np.unravel_index(int(ratio.argmax()), ratio.shape))
    place = _place(what, where)
    got, must, room = float(observed[where]), float(required[where]), float(bound[where])
    tolerance = f" +- {room:.2g}" if room else " exactly"
    size = f" (error/bound {worst:.3g})" if room and np.isfinite(worst) else ""
    wrong = int((ratio > 1.0).sum())
    count = f"; {wrong} of {ratio.size} elements are wrong" if ratio.size > 1 else ""
    if not np.isfinite(must) or (not np.isfinite(got) and not room):
        fail(
            f"{place}={got}, but must be finite{count}", what=what, where=list(where), observed=_number(got), required="finite"
        )
    fail(
        f"{place}={_digits(got, must)}, but must be {_digits(must, got)}{tolerance}{size}{count}",
        what=what, where=list(where), observed=_number(got), required=_number(must), bound=room,
        error_over_bound=_number(worst), observed_all=listed(observed), required_all=listed(required),
    )  # fmt: skip


def _require_shape(what: str, observed: Array, required: Array) -> None:
    if observed.shape != required.shape:
        fail(
            f"{what} has shape {list(observed.shape)}, but must be {list(required.shape)}",
            what=what, observed=list(observed.shape), required=list(required.shape),
        )  # fmt: skip


def _place(what: str, where: tuple[int, ...]) -> str:
    return f"{what}[{', '.join(map(str, where))}]"


def _digits(x: float, other: float) -> str:
    """A number with as many digits as tell it from the other, at least 9."""
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
