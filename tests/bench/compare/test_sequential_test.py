"""How the speed gate decides: limits that are exact, errors that stay within what is promised, and nothing said in doubt."""

import math
import random

import mpmath
import numpy as np
import pytest

from mhsa.bench.compare.operating_characteristics import CANNOT_TELL, NOT_SLOWER, SLOWER, judge, simulate
from mhsa.bench.compare.sequential_test import (
    ALARM,
    MISSED,
    Decision,
    Reach,
    _checked,
    _levels,
    decide,
    planned_looks,
    reach_of,
    student,
)
from mhsa.bench.compare.settings import APART, THRESHOLD

NAMES = {SLOWER: "slower", NOT_SLOWER: "not slower", CANNOT_TELL: "cannot tell"}


@pytest.fixture(autouse=True)
def formed_anew() -> None:
    """What is kept of other tests would hide what is wrong with the code now: mutants are tried in forks of one process."""
    student.cache_clear()
    _checked.cache_clear()


def limits(count: int, trials: int) -> tuple[float, float]:
    """Limits of a probability, each of which is wrong once in forty times (Wilson 1927)."""
    middle, reach = count + 1.92, 1.96 * math.sqrt(count * (1 - count / trials) + 0.96)
    return (middle - reach) / (trials + 3.84), (middle + reach) / (trials + 3.84)


# --- Student's distribution and the shares of the error --------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 6, 9, 13, 99])
@pytest.mark.parametrize("level", [0.04, 0.01, 1e-3, 6.8e-5, 1e-8])
def test_quantiles_have_the_tails_that_they_should(level: float, freedom: int) -> None:
    t = mpmath.mpf(student(level, freedom))
    with mpmath.workdps(40):
        tail = mpmath.betainc(mpmath.mpf(freedom) / 2, 0.5, 0, freedom / (freedom + t**2), regularized=True) / 2
    assert float(tail) == pytest.approx(level, rel=1e-10)


def test_quantiles_are_those_of_printed_tables() -> None:
    assert student(0.01, 13) == pytest.approx(2.650, abs=5e-4)
    assert student(0.001, 9) == pytest.approx(4.297, abs=5e-4)
    assert student(0.025, 1) == pytest.approx(12.706, abs=5e-4)


@pytest.mark.parametrize(("level", "freedom"), [(0.0, 3), (0.05, 3), (math.nan, 3), (0.01, 0)])
def test_a_level_that_is_not_proven_has_no_quantile(level: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student(level, freedom)


@pytest.mark.parametrize("benchmarks", [1, 3, 10, 100, 1000])
@pytest.mark.parametrize("looks", [(14,), (4, 7, 10, 14), tuple(range(4, 15)), (20, 35, 50, 71, 100)])
def test_all_looks_of_all_benchmarks_together_spend_no_more_than_is_allowed(looks: tuple[int, ...], benchmarks: int) -> None:
    levels = [_levels(n, looks, benchmarks, ALARM, last=False) for n in looks]
    assert benchmarks * sum(slower for slower, _, may in levels if may) == pytest.approx(ALARM)
    assert sum(let_pass for _, let_pass, _ in levels) == pytest.approx(MISSED)
    assert all(0.5**n <= ALARM / benchmarks for n, (_, _, may) in zip(looks, levels, strict=True) if may and n < looks[-1])
    for over in looks:  # the time may be over after any of them, or between two
        for end in (over, over - 1):
            made = [(n, level) for n, level in zip(looks, levels, strict=True) if n < end]
            slower, let_pass, _ = _levels(end, looks, benchmarks, ALARM, last=True)
            assert benchmarks * (slower + sum(a for _, (a, _, may) in made if may)) <= ALARM * (1 + 1e-9)
            assert let_pass + sum(p for _, (_, p, _) in made) <= MISSED * (1 + 1e-9)


def test_looks_are_a_square_root_of_two_apart() -> None:
    assert planned_looks() == (4, 7, 10, 14)
    assert planned_looks(20, 100) == (20, 35, 50, 71, 100)
    assert planned_looks(4, 4) == (4,)
    assert planned_looks(4, 5) == (4, 5)
    assert planned_looks(4, 8) == (4, 6, 8)


# --- Cases that can be followed by hand ------------------------------------------------------------------------------------


def test_the_limits_are_students() -> None:
    data = [0.01, 0.02, 0.03, 0.06]
    decision = decide(data, looks=(4,), alpha=0.01)
    error = np.std(data, ddof=1) / 2
    assert decision.ratio == pytest.approx(math.exp(0.03))
    assert decision.low == pytest.approx(math.exp(0.03 - student(0.01, 3) * error))
    assert decision.high == pytest.approx(math.exp(0.03 + student(MISSED, 3) * error))
    assert (decision.verdict, decision.processes) == ("cannot tell", 4)


def test_the_same_time_is_not_slower() -> None:
    assert decide([0.0] * 4) == Decision("not slower", 1.0, 1.0, 1.0, 4)
    assert decide([-0.2, -0.21, -0.19, -0.2]).verdict == "not slower"


def test_a_slow_down_that_does_not_matter_is_not_slower_however_sure_it_is() -> None:
    decision = decide([0.005 + 1e-5 * (-1) ** n for n in range(14)], benchmarks=10)
    assert decision.low > 1
    assert decision.verdict == "not slower"


def test_a_slow_down_that_matters_is_slower_once_enough_processes_agree() -> None:
    data = [math.log(1.05) + 1e-3 * (-1) ** n for n in range(14)]
    verdicts = {n: decide(data[:n], benchmarks=10).verdict for n in planned_looks()}
    assert verdicts == {4: "cannot tell", 7: "cannot tell", 10: "slower", 14: "slower"}
    assert decide(data[:7], benchmarks=1).verdict == "slower"  # less to be shared: 2^-7 is below one per cent
    assert decide(data[:4], benchmarks=10, last=True).verdict == "slower"  # nothing to wait for


def test_what_is_uncertain_cannot_be_told() -> None:
    data = [0.3 * (-1) ** n for n in range(14)]
    assert decide(data).verdict == "cannot tell"
    assert decide(data, last=True).verdict == "cannot tell"


def test_too_few_processes_tell_nothing() -> None:
    assert decide([0.1]) == Decision("cannot tell", math.exp(0.1), 0.0, math.inf, 1)
    assert decide([0.0, 0.0, 0.0]).verdict == "cannot tell"
    assert decide([0.0, 0.0, 0.0], last=True).verdict == "not slower"
    assert math.isfinite(decide([-50.0, 50.0]).high)


def test_who_is_slower_has_at_least_about_half_of_the_threshold() -> None:
    for benchmarks in (1, 10, 100):
        for n in planned_looks():
            reach = reach_of(n, looks=planned_looks(), benchmarks=benchmarks)
            if reach.may_call_slower:  # low > 0 and high >= threshold: the mean divides the distance as the two reaches do
                assert reach.down / (reach.down + reach.up) > (0.47 if benchmarks == 1 else 0.55)


# --- Orders --------------------------------------------------------------------------------------------------------------


def test_slower_times_never_look_better() -> None:
    order = ["not slower", "cannot tell", "slower"]
    draw = random.Random(5)
    for _ in range(100):
        data = [draw.gauss(0, 0.01) for _ in range(draw.choice(planned_looks()))]
        found = [decide([x + shift for x in data], benchmarks=10) for shift in np.linspace(-0.05, 0.15, 41)]
        ranks = [order.index(d.verdict) for d in found]
        assert ranks == sorted(ranks)
        assert all(d.low <= d.ratio <= d.high for d in found)
        assert [d.low for d in found] == sorted(d.low for d in found)


def test_more_benchmarks_or_less_alpha_need_more_evidence() -> None:
    data = [0.03 + 0.01 * (-1) ** n for n in range(14)]
    by_benchmarks = [decide(data, benchmarks=n).low for n in (1, 2, 10, 100)]
    by_alpha = [decide(data, alpha=a).low for a in (0.04, 0.01, 0.001)]
    assert by_benchmarks == sorted(by_benchmarks, reverse=True)
    assert by_alpha == sorted(by_alpha, reverse=True)
    assert [decide(data, threshold=t).verdict for t in (0.01, 0.03, 0.06)] == ["slower", "slower", "not slower"]


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        ([], {}, "no log ratios"),
        ([[0.1, 0.2]], {}, "no log ratios"),
        ([0.1, math.nan], {}, "not a finite number: nan"),
        ([0.1, -math.inf], {}, "not a finite number: -inf"),
        ([0.1] * 4, {"threshold": 0.0}, "threshold must be a number above 0"),
        ([0.1] * 4, {"threshold": -0.03}, "threshold"),
        ([0.1] * 4, {"threshold": math.nan}, "threshold"),
        ([0.1] * 15, {}, "15 processes are more than the 14 that were planned"),
        ([0.1] * 4, {"looks": ()}, "looks must be increasing"),
        ([0.1] * 4, {"looks": (4, 4)}, "looks must be increasing"),
        ([0.1], {"looks": (1, 4)}, "looks must be increasing"),
        ([0.1], {"benchmarks": 0}, "at least one benchmark"),
        ([0.1] * 4, {"alpha": 0.05}, "alpha must be above 0"),
        ([0.1] * 4, {"alpha": math.nan}, "alpha must be above 0"),
    ],
)
def test_nothing_is_decided_from_what_makes_no_sense(data: list[float], arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decide(data, **arguments)  # type: ignore[arg-type]


def test_at_its_limits_nothing_is_passed_and_nothing_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ratio of exactly 1 + threshold is not below it, and a limit of exactly 1 is not above that."""
    at_the_threshold = decide([math.log1p(0.03)] * 16, threshold=0.03, looks=(4, 8, 16))
    assert at_the_threshold.verdict == "slower"
    tries = [np.array([1.0, 2.0, 3.0, 5.0]) + n / 64 for n in range(64)]
    values = next(x for x in tries if x.mean() / x.std(ddof=1) * x.std(ddof=1) == x.mean())
    down = float(values.mean() / values.std(ddof=1))
    monkeypatch.setattr("mhsa.bench.compare.sequential_test.reach_of", lambda *_, **__: Reach(down, 3.0, may_call_slower=True))
    assert decide(values.tolist(), looks=(4, 8)).verdict == "cannot tell"


def test_two_processes_are_enough_for_a_first_look() -> None:
    assert planned_looks(2, 4) == (2, 3, 4)


def test_who_may_be_accused_when() -> None:
    """Only where as many tossed coins fall on one side at most as often as a false alarm is allowed."""
    looks = (4, 7, 10, 14)
    assert [_levels(n, looks, 1, 0.5**7, last=False)[2] for n in (4, 6, 7, 10)] == [False, False, True, True]
    assert [_levels(n, looks, 1, ALARM, last=False)[2] for n in (6, 7)] == [False, True]
    assert _levels(14, (14,), 1, ALARM, last=False) == (ALARM, MISSED, True), "a single look spends all of it"
    early, late = (reach_of(n, looks=looks, benchmarks=1) for n in (4, 10))
    assert early.down == early.up
    assert late.down != late.up


def test_ratios_in_single_precision_are_decided_in_double() -> None:
    single = np.random.default_rng(0).normal(0.01, 0.02, 14).astype(np.float32)
    assert decide(single) == decide(single.astype(np.float64).tolist())


def test_what_is_said_where_nothing_was_measured() -> None:
    with pytest.raises(ValueError) as raised:
        decide([])
    assert str(raised.value) == "there are no log ratios: at least one process must have been measured"


@pytest.mark.parametrize(("first", "most"), [(1, 14), (5, 4), (0, 0)])
def test_looks_need_room(first: int, most: int) -> None:
    with pytest.raises(ValueError, match="first look"):
        planned_looks(first, most)


# --- How often it is right -------------------------------------------------------------------------------------------------


def test_many_at_once_are_judged_like_one() -> None:
    lists = np.random.default_rng(1).normal(0.015, 0.012, (300, 14))
    verdicts, processes = judge(lists, threshold=THRESHOLD, looks=planned_looks(), benchmarks=10)
    assert len(set(verdicts.tolist())) == 3
    for data, verdict, at in zip(lists, verdicts, processes, strict=True):
        looks = [n for n in planned_looks() if n <= at]
        found = [decide(data[:n].tolist(), benchmarks=10).verdict for n in looks]
        assert found[:-1] == ["cannot tell"] * (len(looks) - 1)
        assert found[-1] == NAMES[verdict]


@pytest.mark.parametrize("benchmarks", [1, 10])
@pytest.mark.parametrize("noise", ["normal", "disturbed", "Laplace", "two modes"])
@pytest.mark.parametrize("sd", [0.006, 0.018])
def test_a_run_without_changes_raises_no_alarm_in_99_of_100(noise: str, sd: float, benchmarks: int) -> None:
    outcome = simulate(noise, sd, benchmarks=benchmarks, runs=6000)
    assert limits(outcome.alarms, 6000)[1] < ALARM


@pytest.mark.parametrize("benchmarks", [1, 10])
@pytest.mark.parametrize("noise", ["disturbed", "Laplace"])
def test_however_wide_it_is_heavy_noise_raises_no_more_alarms(noise: str, benchmarks: int) -> None:
    outcome = simulate(noise, 0.3, benchmarks=benchmarks, runs=10_000)
    assert limits(outcome.alarms, 10_000)[1] < ALARM


def test_wide_normal_noise_spends_what_is_allowed() -> None:
    low, high = limits(simulate("normal", 0.3, runs=20_000).alarms, 20_000)
    assert low <= ALARM
    assert high > 0.9 * ALARM  # two looks may raise the same alarm, but that is rare


def test_what_two_wide_modes_cost_stands_in_the_documentation() -> None:
    found = limits(simulate("two modes", 0.04, runs=5000).alarms, 5000)
    assert found[0] < 0.023 < found[1]  # no mixture of normals: docs/gate.md, what it cannot do


@pytest.mark.parametrize("wild", [1, 2, 7, 13])
def test_processes_that_are_wild_raise_no_more_alarms(wild: int) -> None:
    lists = 0.02 * np.random.default_rng(wild).standard_normal((150_000, 14))
    lists[:, -wild:] *= 50
    verdicts, _ = judge(lists, threshold=THRESHOLD, looks=(14,), benchmarks=1)
    assert limits(int((verdicts == SLOWER).sum()), len(lists))[0 if wild == 13 else 1] < ALARM  # 13 are nearly normal again


def test_time_that_is_over_early_raises_no_more_alarms() -> None:
    looks, runs = planned_looks(), 20_000
    lists = np.random.default_rng(2).standard_normal((runs * 10, 12))
    alarm = np.zeros(len(lists), dtype=bool)
    for n, last in ((10, False), (12, True)):
        reach = reach_of(n, looks=looks, benchmarks=10, last=last)
        alarm |= lists[:, :n].mean(axis=1) > reach.down * lists[:, :n].std(axis=1, ddof=1)
    low, _ = limits(int(alarm.reshape(runs, 10).any(axis=1).sum()), runs)
    assert low <= ALARM


@pytest.mark.parametrize(("sd", "processes"), [(0.006, 10.1), (0.012, 11), (0.018, 13)])
def test_three_per_cent_are_found_in_95_of_100_and_sooner_where_it_is_quiet(sd: float, processes: float) -> None:
    outcome = simulate("normal", sd, slow_down=0.03, runs=5000)
    found = int((outcome.verdicts == SLOWER).sum())
    assert limits(found, outcome.verdicts.size)[0] > 0.95
    assert outcome.processes.mean() < processes


@pytest.mark.parametrize("noise", ["normal", "disturbed", "Laplace"])
@pytest.mark.parametrize("sd", [0.006, 0.018, 0.1])
def test_what_is_as_slow_as_the_threshold_seldom_passes(noise: str, sd: float) -> None:
    outcome = simulate(noise, sd, slow_down=THRESHOLD, runs=2000)
    assert limits(int((outcome.verdicts == NOT_SLOWER).sum()), outcome.verdicts.size)[1] < MISSED


def test_what_has_not_changed_passes_soon() -> None:
    quiet, loud = simulate("normal", 0.006, runs=1000), simulate("normal", 0.018, runs=1000)
    assert quiet.share(NOT_SLOWER) == 1
    assert quiet.length < 5
    assert loud.share(NOT_SLOWER) > 0.99
    assert loud.length < 12.5


@pytest.mark.parametrize("benchmarks", [1, 10])
def test_sides_apart_show_ten_per_cent_in_95_of_100(benchmarks: int) -> None:
    arguments = {"threshold": APART, "benchmarks": benchmarks, "runs": 20_000 // benchmarks}
    sd = 0.04 * math.sqrt(2)  # of the difference of two ratios to the floor
    slow, same = simulate("normal", sd, slow_down=0.1, **arguments), simulate("normal", sd, **arguments)  # type: ignore[arg-type]
    assert limits(int((slow.verdicts == SLOWER).sum()), slow.verdicts.size)[0] > 0.95
    assert limits(same.alarms, len(same.verdicts))[0] < ALARM
