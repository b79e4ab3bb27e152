"""How costs grow: laws give their exponents, mixtures say where the other term takes over, noise gives no exponent."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from mhsa.bench.measure.growth import FEWEST, Point, classify, fit, growths, longest, steps
from mhsa.bench.measure.measurement import Counters, Measurement
from mhsa.records.shape import Shape

LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192]


def points(cost: Callable[[int], float], lengths: list[int] = LENGTHS, error: float = 0.0) -> list[Point]:
    return [Point(n, cost(n), error) for n in lengths]


def mixed(linear: float, quadratic: float) -> Callable[[int], float]:
    return lambda n: linear * n + quadratic * n**2


def measured(length: int, seconds: float, peak: int | None = None, **more: object) -> Measurement:
    shape = Shape(f"long {length}", 1, length, 8, 256)
    figures = Measurement("a", "forward", shape, "float32", "cpu", "measured", "", seconds, counters=Counters(peak=peak))
    return replace(figures, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.97, 2.0, 3.0])
def test_a_power_of_the_length_is_found_exactly(power: float) -> None:
    law = points(lambda n: 7e-9 * n**power)
    found = fit(law)
    assert found.exponent == pytest.approx(power, abs=1e-12)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert (found.first, found.last) == (128, 8192)
    assert [s.exponent for s in steps(law)] == pytest.approx([power] * 6, abs=1e-12)


def test_lengths_need_be_neither_sorted_nor_doublings() -> None:
    law = points(lambda n: n**1.5, [3000, 100, 777])
    assert fit(law).exponent == pytest.approx(1.5)
    assert [(s.first, s.last) for s in steps(law)] == [(100, 777), (777, 3000)]


@pytest.mark.parametrize("ratio", [2, 3, 10])
def test_the_limit_is_where_the_quadratic_term_is_half_of_the_cost(ratio: int) -> None:
    n = 64
    middle = n * math.sqrt(ratio)  # the geometric mean, at which linear and quadratic term are the same
    (step,) = steps(points(mixed(middle, 1.0), [n, n * ratio]))
    assert step.exponent == pytest.approx(1.5, abs=1e-12)


def test_memory_leaves_its_class_from_the_length_on_where_scores_take_over() -> None:
    grown = classify(points(mixed(1000.0, 1.0)), "memory")  # the terms are the same at 1000: between 724 and 1448
    assert grown.leaves == 1024
    assert grown.slope is not None
    assert grown.slope.first == 1024
    assert 1.7 < grown.slope.exponent < 2
    assert not grown.kept
    assert grown.words.startswith(f"memory grows as T^{grown.slope.exponent:.2f} +- ")
    assert grown.words.endswith(" from 1024 on: linear is possible")


def test_linear_memory_keeps_its_class_and_so_does_a_constant_beside_it() -> None:
    for cost in (mixed(5.0, 0.0), lambda n: 1e6 + 5 * n):
        grown = classify(points(cost), "memory")
        assert grown.leaves is None
        assert grown.kept
        assert grown.words.endswith("from 2048 to 8192: at most linear")


def test_a_constant_does_not_hide_scores_at_long_sequences() -> None:
    assert classify(points(lambda n: 1e6 + n**2), "memory").leaves == 2048  # beyond 1250 a doubling is steeper
    assert classify(points(lambda n: 1e6 + n**2, LENGTHS[:4]), "memory").leaves is None


def test_some_quadratic_memory_is_said_but_is_not_yet_beyond_the_class() -> None:
    grown = classify(points(mixed(20_000.0, 1.0)), "memory")
    assert (grown.leaves, grown.kept) == (None, False)
    assert grown.words.endswith("less than half of it is more than linear")


def test_time_may_be_quadratic_and_not_cubic() -> None:
    square, cube = classify(points(lambda n: n**2.0), "time"), classify(points(lambda n: n**3.0), "time")
    assert (square.leaves, square.kept) == (None, True)
    assert square.words == "time grows as T^2.00 from 2048 to 8192: at most quadratic"
    assert cube.leaves == 128
    assert cube.words == "time grows as T^3.00 from 128 on: quadratic is possible"


def test_one_step_alone_is_no_class() -> None:
    last = classify(points(lambda n: n if n < 8192 else 4 * n), "memory")
    assert last.leaves is None
    assert "one step alone, so measure a longer sequence" in last.words
    middle = classify(points(lambda n: n if n < 1024 else 4 * n), "memory")  # another algorithm from 1024 on, as linear
    assert (middle.leaves, middle.kept) == (None, True)


def test_an_uncertain_step_convinces_nobody() -> None:
    cubic = points(lambda n: n**3.0, error=0.2)  # a step's error is 0.2 * sqrt(2) / log(2) = 0.41, under the 0.5 to the limit
    assert classify(cubic, "time").leaves == 128
    worse = points(lambda n: n**3.0, error=0.3)
    assert classify(worse, "time").leaves is None


def test_noise_neither_feigns_a_class_nor_hides_one() -> None:
    draw = random.Random(0)
    runs = 300
    feigned = hidden = 0
    for _ in range(runs):
        noise = [math.exp(draw.gauss(0, 0.05 / 1.96)) for _ in LENGTHS]
        for power in (2, 3):
            noisy = [Point(n, n**power * x, 0.05) for n, x in zip(LENGTHS, noise, strict=True)]
            left = classify(noisy, "time").leaves is not None
            feigned += left and power == 2
            hidden += not left and power == 3
    assert feigned == 0
    assert hidden == 0


def test_the_interval_holds_the_exponent_as_often_as_it_says() -> None:
    draw = random.Random(1)
    inside, runs = 0, 1000
    for _ in range(runs):
        noisy = [Point(n, n**2 * math.exp(draw.gauss(0, 0.05 / 1.96)), 0.05) for n in LENGTHS]
        found = fit(noisy)
        inside += abs(found.exponent - 2) <= found.error
    assert 0.93 < inside / runs < 0.995  # 95 %, and more where the scatter was the larger


def test_scatter_that_no_error_explains_widens_the_interval() -> None:
    bent = points(mixed(1000.0, 1.0))
    assert fit(bent).error > 0.1
    assert fit(points(lambda n: n**2.0, error=0.05)).error == pytest.approx(0.05 / (math.log(2) * math.sqrt(28)))


def test_too_few_lengths_are_said_to_be_too_few() -> None:
    grown = classify(points(lambda n: n**2.0, [512, 1024]), "memory")
    assert (grown.slope, grown.leaves, grown.kept) == (None, None, False)
    assert grown.words == f"memory: 2 of the at least {FEWEST} lengths that growth is fitted to"
    with pytest.raises(ValueError, match="1 lengths"):
        fit(points(float, [512]))


def test_what_has_no_logarithm_and_what_was_measured_twice_is_left_out() -> None:
    law = [Point(64, 0.0), Point(128, math.inf), Point(256, math.nan), *points(lambda n: n**2.0), Point(512, 1.0)]
    assert fit(law).exponent == pytest.approx(2)
    assert classify(law, "memory").lengths == len(LENGTHS)


def test_growth_is_of_shapes_that_differ_in_the_length_alone_and_of_what_was_measured() -> None:
    key = ("a", "forward", "float32", "cpu")
    run = [measured(n, 1e-9 * n**2, peak=n * n) for n in LENGTHS]
    run += [measured(99, 1.0, shape=Shape("other", 4, 99, 8, 256)), measured(16, 1.0, 1, outcome="wrong", reason="w")]
    assert [m.shape.length for m in longest(run)[key]] == LENGTHS
    time, memory = growths(run)[key]
    assert (time.quantity, time.lengths, time.leaves) == ("time", len(LENGTHS), None)
    assert (memory.quantity, memory.leaves) == ("memory", 128)
    assert [g.quantity for g in growths([measured(n, 1.0) for n in LENGTHS])[key]] == ["time"]
    assert growths([replace(m, outcome="n/a") for m in run]) == {}


def test_a_time_is_as_uncertain_as_its_ratio_and_the_drift_of_the_machine() -> None:
    key = ("a", "forward", "float32", "cpu")
    sure = [measured(n, 1e-9 * n**3, ratio=1.0, low=0.999, high=1.001) for n in LENGTHS]
    assert growths(sure)[key][0].leaves == 128
    unsure = [replace(m, low=0.6, high=1.4) for m in sure]
    assert growths(unsure)[key][0].leaves is None
    last = growths([replace(m, ratio=None) for m in sure])[key][0].last
    assert last is not None
    assert last.error == pytest.approx(0.05 * math.sqrt(2) / math.log(2))
