"""mhsa compare --self-test: what is tried, how it is counted, and what it says of the promises."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from mhsa.bench.compare.benchmark import SIDES, benchmarks_of
from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.self_testing.self_test import SelfTest
from mhsa.bench.compare.self_testing.self_test_runs import (
    SLOW_DOWNS,
    BenchmarkVerdict,
    SelfTestRun,
    Tally,
    exact_interval,
    planned,
    promised,
    tallies,
)
from mhsa.bench.compare.separate_processes import Apart
from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.run import Run
from mhsa.bench.measure.worker import Plan
from mhsa.commands.cli import main
from mhsa.records.request import Request
from mhsa.records.shape import SHAPES
from tests.helpers.repository import Repository

FEW = ["--runs", "1", "--shape", "exercise", "--pass", "forward", "--no-verify", "--budget", "1", "--no-color"]


def trial(slow_down: float, *verdicts: str, ratio: float = 1.0) -> SelfTestRun:
    return SelfTestRun(
        slow_down, 10.0, tuple(BenchmarkVerdict(f"b{n}", v, ratio, (ratio,) * 4) for n, v in enumerate(verdicts))
    )


@pytest.mark.parametrize(("benchmarks", "same", "each"), [(10, 20, 4), (6, 34, 7), (1, 200, 40), (300, 1, 1)])
def test_two_hundred_comparisons_of_identical_code_and_forty_of_each_slow_down(benchmarks: int, same: int, each: int) -> None:
    assert Counter(planned(benchmarks, None, SLOW_DOWNS)) == {0.0: same, **dict.fromkeys(SLOW_DOWNS, each)}


def test_an_hour_in_which_the_machine_is_busy_meets_them_all() -> None:
    plan = planned(10, 20, SLOW_DOWNS)
    for quarter in (plan[n : n + 9] for n in range(0, 36, 9)):
        assert Counter(quarter) == {0.0: 5, **dict.fromkeys(SLOW_DOWNS, 1)}
    assert planned(10, 2, ()) == [0.0, 0.0]


@pytest.mark.parametrize(("threshold", "tried"), [(0.03, SLOW_DOWNS), (0.04, SLOW_DOWNS[1:]), (0.1, (0.1, 0.2)), (0.5, (0.5,))])
def test_no_time_is_spent_on_slow_downs_of_which_nothing_is_promised(threshold: float, tried: tuple[float, ...]) -> None:
    assert promised(threshold) == tried


def test_more_operators_in_identical_code_are_a_false_alarm_too() -> None:
    found = list(tallies([trial(0.0, "not slower", "costs more"), trial(0.03, "slower", ratio=1.03), trial(0.0, "slower")]))
    assert [(t.slow_down, t.comparisons, t.accused, len(t.seconds)) for t in found] == [(0.0, 3, 2, 2), (0.03, 1, 1, 1)]
    assert found[1].ratio == 1.03


@pytest.mark.parametrize(
    ("slow_down", "called", "kept"),
    [
        (0.0, {"slower": 2, "not slower": 198}, True),
        (0.0, {"slower": 3, "not slower": 197}, False),
        (0.0, {"cannot tell": 200}, True),  # says nothing, but nothing false
        (0.03, {"slower": 38, "cannot tell": 2}, True),
        (0.03, {"slower": 37, "cannot tell": 3}, False),
        (0.02, {"not slower": 40}, None),
    ],
)
def test_what_is_promised(slow_down: float, called: dict[str, int], kept: bool | None) -> None:
    assert Tally(slow_down, called, 1.0, (1.0,)).keeps(0.03) is kept


@pytest.mark.parametrize(("hits", "trials"), [(0, 200), (1, 7), (3, 200), (38, 40), (40, 40)])
def test_exact_intervals(hits: int, trials: int) -> None:
    low, high = exact_interval(hits, trials)

    def tail(p: float, ks: range) -> float:
        return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in ks)

    assert low == 0 if not hits else tail(low, range(hits, trials + 1)) == pytest.approx(0.025, rel=1e-6)
    assert high == 1 if hits == trials else tail(high, range(hits + 1)) == pytest.approx(0.025, rel=1e-6)


def test_a_run_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    repository = Repository(tmp_path)
    code = main(["compare", "--self-test", *FEW, "--json", "../out.json"])
    found = json.loads(Path("../out.json").read_text())
    same, *slow = found["tallies"]
    assert (same["slow_down"], same["comparisons"]) == (0.0, 1)
    assert [t["slow_down"] for t in slow] == list(SLOW_DOWNS)
    # Four rounds of a busy machine may leave the verdict open; the ratio shows that the slow-down is what it says.
    assert 1.1 < slow[-1]["ratio"] < 1.35
    kept = found["exit_code"] == 0
    assert code == found["exit_code"]
    assert f"and more found: {'kept' if kept else 'NOT kept'}" in capsys.readouterr().out
    assert repository.worktrees() == []


def test_a_run_that_was_ended_early_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    Repository(tmp_path)
    command = ["compare", "--self-test", *FEW, "--threshold", "20", "--json", "../out.json"]
    made: list[float] = []
    measure = SelfTest._trial

    def twice(self: SelfTest, slow_down: float, *rest: object) -> None:
        if len(made) == 1:
            assert json.loads(Path("../out.json").read_text())["partial"] is True  # one run has ended, and is kept
            raise KeyboardInterrupt
        made.append(slow_down)
        measure(self, slow_down, *rest)

    monkeypatch.setattr(SelfTest, "_trial", twice)
    assert main(command) == 2
    first = json.loads(Path("../out.json").read_text())
    assert (first["partial"], first["exit_code"], len(first["trials"])) == (True, 2, 1)
    assert "interrupted, so this is what there is" in capsys.readouterr().out

    with pytest.raises(SystemExit) as stopped:
        main([*command, "--threshold", "10"])
    assert stopped.value.code == 2
    assert "has a self-test that was ended early (runs: 1), but of another threshold; name" in capsys.readouterr().err
    assert json.loads(Path("../out.json").read_text()) == first

    monkeypatch.setattr(SelfTest, "_trial", measure)
    code = main(command)
    second = json.loads(Path("../out.json").read_text())
    assert (code, second["partial"]) == (second["exit_code"], False)
    assert second["trials"][0] == first["trials"][0]
    assert sorted(t["slow_down"] for t in second["trials"]) == [0.0, 0.2]
    assert "1 of the runs are from before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--self-test", "main", "HEAD"], "compares one commit with itself; given were main and HEAD"),
        (["--self-test", "nowhere"], "'nowhere' is not a commit"),
        (["--self-test", "HEAD~1", "--runs", "1", "--no-verify", "--shape", "exercise"], "cannot be measured: "),
        ([], "BASE is missing"),
    ],
)
def test_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert repository.worktrees() == []


def test_what_slowing_costs_beside_the_share_is_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("mhsa.bench.compare.separate_processes.run", lambda plan, *_: plans.append(plan) or Run())
    (benchmark,) = benchmarks_of((Request("a", "a"),), ("forward",), (SHAPES["exercise"],), ("float32",))
    checkouts = dict.fromkeys(SIDES, Checkout("folder", "tree", "original"))
    for slow_down in (0.1, 0.0):
        Apart(checkouts, Terms(apart=True, slow_down=slow_down), lambda words: None)([BenchmarkRounds(benchmark)], 1, "")
    assert [plan.slow_down for plan in plans] == [0.0, 0.1, None, None]
    assert all(plan.keeping for plan in plans)
