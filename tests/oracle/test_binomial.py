"""The exact binomial test: where its tail crosses half of 1e-9, computed here in whole numbers."""

import math
from fractions import Fraction
from math import comb

import pytest

from mhsa.oracle import binomial
from mhsa.oracle.binomial import SIGNIFICANCE, surprising


def tail(count: int, trials: int, probability: Fraction) -> Fraction:
    """The probability of a count at least as far from the mean on its side, without rounding."""
    outwards = range(count + 1) if count <= probability * trials else range(count, trials + 1)
    p, of = probability.as_integer_ratio()
    return Fraction(sum(comb(trials, k) * p**k * (of - p) ** (trials - k) for k in outwards), of**trials)


def test_the_significance_is_one_in_a_thousand_million() -> None:
    assert SIGNIFICANCE == 1e-9


@pytest.mark.parametrize("trials", [1, 2, 30, 40, 100, 200])
@pytest.mark.parametrize("probability", [Fraction(1, 2), Fraction(1, 10), Fraction(3, 4), Fraction(999, 1000)])
def test_a_count_is_surprising_where_the_exact_tail_is_at_most_half_of_it(trials: int, probability: Fraction) -> None:
    step = max(1, trials // 50)
    for count in {*range(0, trials + 1, step), trials}:
        exact = tail(count, trials, probability)
        assert abs(exact / Fraction(5, 10**10) - 1) > Fraction(1, 10**6), "too near to the limit to be decided by floats"
        assert surprising(count, trials, float(probability)) is (exact <= Fraction(5, 10**10))


@pytest.mark.parametrize(("trials", "probability"), [(100_000, 0.1), (100_000, 0.5), (1_000_000, 0.001)])
def test_many_trials_neither_overflow_nor_take_long(trials: int, probability: float) -> None:
    mean, deviation = trials * probability, (trials * probability * (1 - probability)) ** 0.5
    for far in (-7.0, 7.0):
        assert surprising(round(mean + far * deviation), trials, probability)
    for near in (-5.5, 0.0, 5.5):
        assert not surprising(round(mean + near * deviation), trials, probability)


def test_a_count_of_which_hardly_a_term_is_a_number_is_surprising() -> None:
    """Its first term is 0 in floats: the sum ends there."""
    assert surprising(0, 1_000_000, 0.5)
    assert surprising(1_000_000, 1_000_000, 0.5)


def test_a_sum_ends_where_its_terms_no_longer_count(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = []
    exp = math.exp
    monkeypatch.setattr(binomial.math, "exp", lambda x: formed.append(x) or exp(x))
    assert surprising(400_000, 1_000_000, 0.5)
    assert len(formed) == 1, "the first is 0 in floats, and so are all others"
    formed.clear()
    assert surprising(496_000, 1_000_000, 0.5)
    assert 100 < len(formed) < 2000


def test_at_the_limit_and_at_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binomial, "SIGNIFICANCE", 1.0)
    assert surprising(0, 1, 0.5), "a tail of half of it is at most half of it"
    monkeypatch.setattr(binomial, "SIGNIFICANCE", 1.4)
    assert not surprising(1, 4, 0.25), "at the mean it is the lower tail that counts: 0.738, where the upper one is 0.684"
