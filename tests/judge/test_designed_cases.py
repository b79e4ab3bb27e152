"""Designed cases: each part of a table is met, few show little, and Hypothesis makes a failing one small."""

import random
from collections.abc import Iterator
from inspect import Parameter, Signature
from typing import Any

import hypothesis
import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.drawing.choices import is_of_tables, one_of
from mhsa.judge.drawing.designed_cases import Designed, design
from mhsa.judge.drawing.designed_property import _shrink, designed_property
from mhsa.judge.property_modules import Effort, _imported, _settings
from mhsa.judge.strategies import cases, judging
from mhsa.records.case import DATA, MASKS, Case
from mhsa.records.catalogue import properties_folder
from mhsa.subject import check
from mhsa.subject.subject import Subject

SETTINGS = _settings(Effort())


@pytest.fixture(scope="module")
def reference() -> Subject:
    return understand("mhsa:MultiHeadAttention")


def designed(subject: Subject, count: int, **wanted: Any) -> list[Case]:
    with judging(subject):
        return [d.drawn["case"] for d in design({"case": cases(**wanted)}, count, "some seed")]


def test_every_part_of_a_table_is_met_once() -> None:
    strategies = {"letter": one_of(tuple("abcdef")), "number": one_of(range(12))}
    made = [d.drawn for d in design(strategies, 6, "0")]
    assert sorted(d["letter"] for d in made) == list("abcdef")
    assert sorted(d["number"] // 2 for d in made) == list(range(6))


def test_all_choices_are_met_by_a_few_cases(reference: Subject) -> None:
    made = designed(reference, 24, masks=MASKS)
    assert {c.data for c in made} == set(DATA)
    assert {c.mask for c in made} == set(MASKS)
    assert {(c.dtype, c.tie) for c in made} == {(d, t) for d in ("float64", "float32") for t in ("none", "kv", "all")}
    assert max(c.key_length for c in made) > 64
    assert max(c.head for c in made) > 8


def test_of_four_cases_none_shows_little(reference: Subject) -> None:
    for wanted in ({"masks": MASKS}, {"small": True}, {"masks": ("padding",), "min_batch": 2}):
        made = designed(reference, 4, **wanted)
        assert all(c.key_length > 1 and c.data != "repeated" for c in made)


def test_the_same_seed_gives_the_same_cases(reference: Subject) -> None:
    once = designed(reference, 8)
    random.seed(5)
    assert designed(reference, 8) == once


def properties() -> Iterator[tuple[str, Any]]:
    for path in sorted(properties_folder().glob("test_*.py")):
        for name, function in vars(_imported(path)).items():
            if hypothesis.is_hypothesis_test(function):
                yield f"{path.stem}.{name}", function


def test_every_property_draws_from_tables() -> None:
    """Else its cases would be random ones, many of them alike."""
    for name, function in properties():
        assert all(map(is_of_tables, function.hypothesis._given_kwargs.values())), name


def test_a_designed_case_is_the_one_that_hypothesis_begins_with(reference: Subject) -> None:
    """What is made small must be what has failed."""
    tried = 0
    for name, function in properties():
        strategies = function.hypothesis._given_kwargs
        try:
            with judging(reference):
                first = next(design(strategies, 3, name))
        except pytest.skip.Exception:
            continue
        assert begun_with(reference, strategies, first) == first.drawn, name
        tried += 1
    assert tried > 100


class Begun(Exception):
    """Ends a search at its first call."""


def begun_with(subject: Subject, strategies: Any, case: Designed) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    def inner(subject: Subject, **drawn: Any) -> None:
        seen.append(drawn)
        raise Begun

    names = ("subject", *strategies)
    inner.__signature__ = Signature([Parameter(n, Parameter.KEYWORD_ONLY) for n in names])  # type: ignore[attr-defined]
    with judging(subject), pytest.raises(Begun):
        _shrink(inner, strategies, case.choices, SETTINGS, subject)
    return seen[0]


class TestAFailure:
    def fails_on(self, reference: Subject, wrong: Any) -> tuple[list[Case], BaseException]:
        seen: list[Case] = []

        def inner(subject: Subject, case: Case) -> None:
            seen.append(case)
            if wrong(case, len(seen)):
                check.fail("wrong")

        judged = designed_property(inner, {"case": cases()}, 24, "0", SETTINGS)
        with judging(reference), check.recording(), pytest.raises(check.Violation) as raised:
            judged(reference)
        return seen, raised.value

    def test_is_made_small(self, reference: Subject) -> None:
        seen, error = self.fails_on(reference, lambda case, n: case.key_length > 8)
        last = seen[-1]
        assert (last.batch, last.head, last.query_length, last.key_length, last.d_k) == (1, 1, 1, 9, 1)
        assert error.__cause__ is None

    def test_that_does_not_fail_again_is_told_as_that(self, reference: Subject) -> None:
        _, error = self.fails_on(reference, lambda case, n: n == 3)
        assert isinstance(error.__cause__, hypothesis.errors.Flaky)


def test_global_random_numbers_go_on_as_they_would_have(reference: Subject) -> None:
    drawn: list[float] = []

    def inner(subject: Subject, case: Case) -> None:
        drawn.append(random.random())

    random.seed(1)
    must = random.Random(1).random()
    with judging(reference):
        designed_property(inner, {"case": cases()}, 3, "0", SETTINGS)(reference)
    assert random.random() == must
    assert len(set(drawn)) == 1
