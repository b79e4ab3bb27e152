"""Before and after a contender is timed: whether its results are right, and what it does around a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from mhsa.bench.measure.correctness import find_mismatch, holds_at_few_tokens
from mhsa.bench.measure.expected import Oracle
from mhsa.bench.measure.honesty.deeds import deeds, precision_inside
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.plain_result import hidden_form
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.implementation import SEED, Built, NotMeasurable, untimed
from mhsa.bench.measure.measurement import Pass


def examined(built: Built, passes: Pass, known: Oracle) -> FreshCalls:
    """Return the calls of a contender that are to be timed.

    Raises:
        TimeRefused: a result is wrong, or it does something that makes a time worthless.
        NotMeasurable: the pass is not timed at this shape.
        Exception: whatever the contender raises.
    """
    if words := untimed(built.shape, passes):
        raise NotMeasurable(words)
    with torch.set_grad_enabled(passes == "training"):
        hidden = hidden_form(built.bind(built.x)(), built.trial.subject.device)
    if hidden:
        raise TimeRefused("suspect", hidden)
    if wrong := find_mismatch(built, passes, known):
        calls = FreshCalls(built, passes, None)
        raise TimeRefused("wrong", "; ".join([wrong, *_named(built, passes, calls), *_elsewhere(built, passes, known)]))
    calls = FreshCalls(built, passes, known)
    if seen := deeds(built, passes, calls):
        raise TimeRefused("suspect", "; ".join(seen))
    return calls


def examine_again(built: Built, passes: Pass, calls: FreshCalls, known: Oracle) -> None:
    """Look at a contender that was timed: with the numbers that were timed, with new ones, and for what it does by now.

    Raises:
        TimeRefused: as :func:`examined`.
    """
    slot = calls.fresh(1)[0]
    try:
        with torch.set_grad_enabled(passes == "training"):
            calls.look(slot, slot.call())
    except TimeRefused as refused:
        raise explained(refused, built, passes, calls) from None
    finally:
        calls.put_back()
    with _other_numbers(built):
        wrong = find_mismatch(built, passes, known, generic=False)
    if wrong:
        raise TimeRefused("wrong", f"{wrong}; it was right before it was timed")
    if seen := deeds(built, passes, calls):
        raise TimeRefused("suspect", "; ".join(seen))


def explained(refused: TimeRefused, built: Built, passes: Pass, calls: FreshCalls) -> TimeRefused:
    """Return the refusal of a contender that was right before it was timed, with what it is seen to do."""
    if refused.outcome != "wrong":
        return refused
    more = ["it was right before it was timed", *_named(built, passes, calls)]
    return TimeRefused("wrong", "; ".join([refused.reason, *more]))


def _elsewhere(built: Built, passes: Pass, known: Oracle) -> list[str]:
    return [*filter(None, [holds_at_few_tokens(built, passes, known)])]


def _named(built: Built, passes: Pass, calls: FreshCalls) -> list[str]:
    """Return in words what is seen of a contender whose result is wrong: which of the usual shortcuts it takes."""

    def is_zero() -> str:
        with torch.set_grad_enabled(passes == "training"):
            zero = bool((built.bind(built.x)() == 0).all())
        return f"every number of its output is 0 {'without' if passes == 'forward' else 'with'} autograd" if zero else ""

    looks: list[Callable[[], str]] = [
        lambda: "; ".join(deeds(built, passes, calls)), is_zero, lambda: precision_inside(built, passes),
    ]  # fmt: skip
    found = []
    for look in looks:
        with contextlib.suppress(Exception):
            found.append(look())
    return [*filter(None, found)]


@contextlib.contextmanager
def _other_numbers(built: Built) -> Iterator[None]:
    """Let the contender's parameters and inputs be others than those that were timed."""
    trial, before = built.trial, built.trial.case
    trial.case = replace(before, seed=SEED + 1)
    try:
        yield
    finally:
        trial.case = before
        trial.fill(before)
