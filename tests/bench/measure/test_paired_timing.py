"""Blocks that take turns: what cancels, when it ends, what the interval of a median covers, and what an exception leaves."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mhsa.bench.measure import cell
from mhsa.bench.measure.cell import Bench, Cell
from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.measurement import BASELINE, PASSES, Contender, Measurement
from mhsa.bench.measure.paired_timing import Timing, interval, take_turns
from mhsa.records.request import Request
from mhsa.records.shape import shape_of

MILLISECOND = 0.001
LOOKS = 2  # blocks in which a call of a millisecond is calibrated


class Work:
    """A call that takes so many seconds on a machine that is as fast as at the start."""

    def __init__(self, name: str, seconds: float = MILLISECOND) -> None:
        self.name, self.seconds = name, seconds

    def __call__(self) -> None:
        pass


class Scripted(Clock):
    """A clock of a machine whose slowness follows the number of the block; ``blocks`` says who had one, of how many calls."""

    def __init__(self, slowness: Callable[[int], float] = lambda n: 1.0) -> None:
        super().__init__("cpu")
        self.slowness = slowness
        self.blocks: list[tuple[str, int]] = []

    def block(self, call: Work, count: int) -> float:
        self.blocks.append((call.name, count))
        return call.seconds * self.slowness(len(self.blocks))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.blocks]


def timed(clock: Clock, *works: Work, budget: float = 0.1, baseline: float = MILLISECOND) -> dict[str, Timing]:
    return take_turns(clock, Work("", baseline), {work.name: work for work in works}, budget)


def close(x: float) -> float:
    return pytest.approx(x, rel=1e-12)


class TestRatios:
    @pytest.mark.parametrize("names", ["a", "ab", "abcde"])
    @pytest.mark.parametrize("drift", [0.0, 0.01, 3.0, -0.001])
    def test_identical_calls_are_equal_on_a_machine_that_slows_down_steadily(self, drift: float, names: str) -> None:
        found = timed(Scripted(lambda n: 1.0 + drift * n), *map(Work, names))
        assert list(found) == list(names)
        for timing in found.values():
            assert (timing.ratio, timing.low, timing.high) == (close(1.0), close(1.0), close(1.0))
            assert (timing.seconds == MILLISECOND) == (drift == 0.0)

    @pytest.mark.parametrize("times", [0.25, 1.5, 40.0])
    @pytest.mark.parametrize("drift", [0.0, 0.01])
    def test_a_slower_call_has_its_factor(self, drift: float, times: float) -> None:
        works = (Work("a"), Work("b", times * MILLISECOND), Work("c", 3 * MILLISECOND))
        found = timed(Scripted(lambda n: 1.0 + drift * n), *works)
        assert [timing.ratio for timing in found.values()] == [close(1.0), close(times), close(3.0)]
        assert found["b"].low <= found["b"].ratio <= found["b"].high

    def test_a_moment_in_which_the_machine_was_busy_moves_nothing(self) -> None:
        found = timed(Scripted(lambda n: 50.0 if n in (20, 21, 33) else 1.0), Work("a"), Work("b", 2 * MILLISECOND), budget=1.0)
        assert [(t.ratio, t.low, t.high) for t in found.values()] == [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)]

    def test_a_baseline_that_is_slower_than_all_is_the_measure_all_the_same(self) -> None:
        found = timed(Scripted(), Work("a"), baseline=8 * MILLISECOND)
        assert found["a"].ratio == close(0.125)
        assert found["a"].seconds == MILLISECOND


class TestTurns:
    def test_every_block_stands_between_two_of_the_baseline(self) -> None:
        clock = Scripted()
        timed(clock, Work("a"), Work("b"))
        turns = clock.names[3 * LOOKS :]
        assert set(turns[::2]) == {""}
        assert set(turns[1::2]) == {"a", "b"}
        assert turns[-1] == ""

    def test_the_order_is_turned_round_each_time(self) -> None:
        clock = Scripted()
        timed(clock, *map(Work, "abc"))
        turns = "".join(clock.names[4 * LOOKS :])
        assert turns.startswith("abccbaabccba")

    def test_it_is_told_who_is_called_next_before_each_block(self) -> None:
        told, clock = [], Scripted()
        found = take_turns(clock, Work(""), {"a": Work("a"), "b": Work("b")}, 0.1, told.append)
        assert clock.names == ["", "", "a", "a", "b", "b", "", *told[3:]]
        assert told[:3] == ["", "a", "b"]
        assert len(told[3:]) == 2 * sum(timing.blocks for timing in found.values())

    def test_nobody_is_no_one(self) -> None:
        assert timed(Scripted()) == {}


class TestCalibration:
    @pytest.mark.parametrize(
        ("seconds", "count", "looks"),
        [
            (1e-6, 4000, [1, 1, 5]),
            (0.0, 4_000_000, [1, 1, 5]),
            (0.0009, 4, [1, 1, 5]),
            (0.002, 2, [1, 1]),
            (0.02, 1, [1, 1]),
            (1.5, 1, [1]),
        ],
    )
    def test_a_block_has_as_many_calls_as_fit(self, seconds: float, count: int, looks: list[int]) -> None:
        clock = Scripted()
        assert clock.calibrate(Work("a", seconds)) == count
        assert [n for _, n in clock.blocks] == looks

    def test_what_is_done_once_only_does_not_count(self) -> None:
        clock = Scripted(lambda n: 100.0 if n == 1 else 1.0)
        assert clock.calibrate(Work("a", 0.002)) == 2

    def test_seconds_are_those_of_one_call(self) -> None:
        calls = []
        clock = Clock("cpu")
        assert 0.0 <= clock.block(lambda: calls.append(1), 7) < 1.0
        assert len(calls) == 7


class TestEnd:
    def blocks(self, *seconds: float, budget: float) -> list[int]:
        works = [Work(str(n), each) for n, each in enumerate(seconds)]
        return [timing.blocks for timing in timed(Scripted(), *works, budget=budget).values()]

    @pytest.mark.parametrize(("budget", "blocks"), [(0.0239, 3), (0.0241, 4), (0.1, 13), (1.0, 125)])
    def test_a_budget_is_spent_on_the_blocks_of_one_and_of_the_baseline_after_it(self, budget: float, blocks: int) -> None:
        assert self.blocks(MILLISECOND, budget=budget) == [blocks]

    def test_there_are_three_blocks_even_where_one_is_beyond_the_budget(self) -> None:
        assert self.blocks(0.05, budget=0.02) == [3]

    @pytest.mark.parametrize(("seconds", "blocks"), [(0.0755, 3), (0.0765, 2), (0.155, 2), (0.157, 1), (100.0, 1)])
    def test_unless_they_take_eight_times_the_budget(self, seconds: float, blocks: int) -> None:
        assert self.blocks(seconds, budget=0.02) == [blocks]

    def test_there_are_at_most_400(self) -> None:
        assert self.blocks(MILLISECOND, budget=1e9) == [400]

    def test_each_has_its_own_budget(self) -> None:
        assert self.blocks(MILLISECOND, 100.0, 0.02, budget=0.1) == [13, 1, 5]


def coverage(n: int, low: int, high: int) -> float:
    """Probability that a median lies between the order statistics with these numbers, from 0 to n - 1, exactly."""
    return sum(comb(n, k) for k in range(low + 1, high + 1)) / 2.0**n


def reach(n: int) -> tuple[int, int]:
    """Which order statistics are the interval, of values that are handed over in disorder."""
    values = [float((7919 * k) % n) for k in range(n)] if n % 7919 else []
    low, high = interval(values)
    return int(low), int(high)


class TestInterval:
    @pytest.mark.parametrize("values", [[2.0], [2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 4.0, 2.0, 3.0], [5.0, 1.0, 4.0, 2.0, 3.0]])
    def test_few_values_give_all_of_their_range(self, values: Sequence[float]) -> None:
        assert interval(values) == (min(values), max(values))

    @pytest.mark.parametrize(("n", "numbers"), [(10, (1, 8)), (30, (9, 20)), (100, (39, 60))])
    def test_known_samples(self, n: int, numbers: tuple[int, int]) -> None:
        assert reach(n) == numbers

    @pytest.mark.parametrize("n", [10, 30, 100])
    def test_it_is_the_shortest_of_the_exact_binomial(self, n: int) -> None:
        low, high = reach(n)
        assert coverage(n, low, high) >= 0.95
        assert coverage(n, low + 1, high - 1) < 0.95

    def test_it_covers_what_it_says_for_every_number_of_blocks(self) -> None:
        covered = {n: coverage(n, *reach(n)) for n in range(6, 401)}
        assert min(covered.values()) >= 0.95
        assert sum(covered.values()) / len(covered) < 0.98

    def test_it_lies_about_the_median_evenly(self) -> None:
        for n in range(1, 401):
            low, high = reach(n)
            assert low == n - 1 - high


SUBJECT = '''
import torch
from torch import nn


class Right(nn.Module):
    """Raises once the count of calls that it is allowed has run out."""

    left = None
    calls = 0
    error = RuntimeError("worn out")

    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        kind = type(self)
        kind.calls += 1
        if kind.left is not None:
            kind.left -= 1
            if kind.left < 0:
                raise kind.error
        layers = (self.query, self.key, self.value)
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in zip(layers, (query, key, value)))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))


class Mortal(Right):
    pass


class Wrong(Right):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, value, mask) * 1.5
'''


class Counted(Scripted):
    """Every call takes a millisecond; a block makes one, so that it is known which call comes when."""

    def __init__(self, device: str) -> None:
        super().__init__()

    def block(self, call: Callable[[], object], count: int) -> float:
        call()
        return MILLISECOND


class TestExceptions:
    """A contender that raises while it is timed, among others."""

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(cell, "Clock", Counted)
        path = tmp_path / "subjects.py"
        path.write_text(SUBJECT)
        return path

    def subjects(self, path: Path) -> ModuleType:
        from sys import modules

        (module,) = [m for name, m in modules.items() if getattr(m, "__file__", "") == str(path)]
        return module

    def measure(
        self, path: Path, names: Sequence[str], allowed: int | None, passes: Sequence[str] = ("forward",), error: str = ""
    ) -> dict[tuple[str, str], Measurement]:
        """Measure; ``Mortal`` may be called so often from when it is timed for the first time."""
        started = []

        def tell(name: str, what: str) -> None:
            if (name, what) == ("Mortal", "timing") and not started:
                started.append(name)
                mortal = self.subjects(path).Mortal
                mortal.left, mortal.calls = allowed, 0
                mortal.error = KeyboardInterrupt() if error else mortal.error

        contenders = [
            Contender.known(name) if name == BASELINE else Contender(name, Request(name, f"{path}:{name}")) for name in names
        ]
        bench = Bench(passes, 0.1, counted=False, calling=tell)
        found = list(bench.measure(Cell(shape_of("exercise"), "float32", "cpu"), contenders))
        assert [(m.passes, m.implementation) for m in found] == [(p, name) for p in passes for name in names]
        return {(m.passes, m.implementation): m for m in found}

    @pytest.mark.parametrize("allowed", [0, 1, 2, 3, 9])
    @pytest.mark.parametrize(
        "names", [("Mortal", "Right", BASELINE), ("Right", "Mortal", BASELINE), (BASELINE, "Right", "Mortal")]
    )
    def test_one_that_raises_leaves_the_others_as_they_are(self, file: Path, names: Sequence[str], allowed: int) -> None:
        found = self.measure(file, names, allowed)
        mortal = found.pop(("forward", "Mortal"))
        assert (mortal.outcome, mortal.seconds, mortal.ratio, mortal.blocks) == ("n/a", None, None, 0)
        assert mortal.reason.startswith("RuntimeError: worn out (")
        assert self.subjects(file).Mortal.calls == allowed + 1  # it is not called again
        for m in found.values():
            assert (m.outcome, m.seconds, m.ratio, m.blocks) == ("measured", MILLISECOND, 1.0, 13)

    def test_one_that_does_not_get_there_is_measured(self, file: Path) -> None:
        found = self.measure(file, ("Mortal", BASELINE), allowed=1000)
        assert found["forward", "Mortal"].outcome == "measured"
        assert self.subjects(file).Mortal.calls > LOOKS + 13  # which it is called again after, to be looked at

    def test_one_that_raises_ever_after_has_no_other_pass_either(self, file: Path) -> None:
        found = self.measure(file, ("Mortal", BASELINE), allowed=5, passes=PASSES)
        assert found["forward", "Mortal"].outcome == "n/a"
        assert found["training", "Mortal"].outcome == "n/a"
        assert "worn out" in found["training", "Mortal"].reason
        assert found["training", BASELINE].outcome == "measured"

    def test_a_wrong_one_is_not_called_for_its_time(self, file: Path) -> None:
        found = self.measure(file, ("Wrong", "Right"), allowed=None)
        wrong = found["forward", "Wrong"]
        assert (wrong.outcome, wrong.seconds, wrong.ratio, wrong.low, wrong.high) == ("wrong", None, None, None, None)
        assert wrong.words.startswith("failed: wrong result: output where each query picks its own key[")
        assert found["forward", "Right"].outcome == "measured"

    def test_a_baseline_that_raises_leaves_nothing_to_compare_with(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("no baseline")

        monkeypatch.setattr("mhsa.bench.measure.implementation.plain_attention", fail)
        found = self.measure(file, ("Right", BASELINE), allowed=None)
        assert {m.outcome for m in found.values()} == {"n/a"}
        assert found["forward", "Right"].reason.startswith(
            "the baseline, which it is compared with: ZeroDivisionError: no baseline"
        )
        assert found["forward", BASELINE].reason.startswith("ZeroDivisionError: no baseline")

    def test_an_interrupt_is_no_failure_of_anyone(self, file: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.measure(file, ("Mortal", BASELINE), allowed=4, error="interrupt")

    @pytest.mark.parametrize("passes", PASSES)
    def test_autograd_is_on_in_training_only(self, file: Path, passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        class Watching(Counted):
            def block(self, call: Callable[[], object], count: int) -> float:
                seen.append(torch.is_grad_enabled())
                return super().block(call, count)

        monkeypatch.setattr(cell, "Clock", Watching)
        self.measure(file, ("Right", BASELINE), allowed=None, passes=(passes,))
        assert set(seen) == {passes == "training"}
        assert torch.is_grad_enabled()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long a thread waited for a processor")
def test_what_another_process_takes_is_not_timed_and_sleep_is() -> None:
    clock = Clock("cpu")

    def busy() -> None:
        for _ in range(100_000):
            pass

    def others() -> float:
        """Wall time of two processes on one core, and what the clock makes of it."""
        core = {min(os.sched_getaffinity(0))}
        rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        allowed = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(rival.pid, core)
            os.sched_setaffinity(0, core)
            begin, timed = time.perf_counter(), 0.0
            for _ in range(20):
                timed += 10 * clock.block(busy, 10)
            return timed / (time.perf_counter() - begin)
        finally:
            os.sched_setaffinity(0, allowed)
            rival.kill()
            rival.wait()

    assert others() < 0.75, "half of the time is the other's"
    assert clock.block(lambda: time.sleep(0.02), 3) > 0.02
