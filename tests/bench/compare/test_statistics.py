"""Student's quantile and the binomial test are ours, because scipy is large; both agree with scipy."""

import math

import pytest
from scipy import stats

from mhsa.bench.compare.sequential_test import student
from mhsa.oracle.binomial import SIGNIFICANCE, surprising


@pytest.mark.parametrize("freedom", [1, 2, 5, 13, 29])
@pytest.mark.parametrize("level", [1e-9, 1e-4, 0.005, 0.04])
def test_students_quantile(level: float, freedom: int) -> None:
    assert math.isclose(student(level, freedom), stats.t.isf(level, freedom), rel_tol=1e-9)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("trials", [60, 4096])
def test_the_binomial_test_accuses_exactly_in_both_tails(trials: int, probability: float) -> None:
    spread = math.sqrt(trials * probability * (1 - probability))
    near = range(max(0, int(trials * probability - 8 * spread)), min(trials, int(trials * probability + 8 * spread)) + 1)
    law = stats.binom(trials, probability)
    for count in near:
        tail = law.cdf(count) if count <= probability * trials else law.sf(count - 1)
        assert surprising(count, trials, probability) == (tail <= SIGNIFICANCE / 2)
