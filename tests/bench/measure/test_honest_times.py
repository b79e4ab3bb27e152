"""Inputs that change, answers that are known, and what is noticed around a call."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mhsa.bench.measure import artificial_slowdown
from mhsa.bench.measure.artificial_slowdown import slowed
from mhsa.bench.measure.captured import own_tools
from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.correctness import find_mismatch
from mhsa.bench.measure.expected import Oracle
from mhsa.bench.measure.honesty.deeds import deeds
from mhsa.bench.measure.honesty.examine import examine_again, examined
from mhsa.bench.measure.honesty.fastest_possible import of_the_baseline, too_fast
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.going_on import goes_on
from mhsa.bench.measure.honesty.plain_result import hidden_form
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.implementation import Built
from mhsa.bench.measure.measurement import PASSES, Contender, Pass
from mhsa.records.defaults import DTYPES
from mhsa.records.request import Request
from tests.helpers.building import maker
from tests.helpers.timed import RIGHT

OTHERS = """

class Tired(Right):
    calls, most = 0, 10**9

    def forward(self, query, key, value, mask=None):
        self.calls += 1
        out = super().forward(query, key, value, mask)
        return out if self.calls <= self.most else out * 1.5


class Tied(Right):
    def __init__(self, d_model, heads):
        super().__init__(d_model, heads)
        self.out.bias = self.value.bias


class FewFeatures(Right):
    def __init__(self, d_model, heads):
        super().__init__(d_model, heads)
        inner = heads * (d_model // heads // 2)
        self.query, self.key, self.value = (nn.Linear(d_model, inner) for _ in range(3))
        self.out = nn.Linear(inner, d_model)
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    file: Path = tmp_path_factory.mktemp("honest") / "subjects.py"
    file.write_text(RIGHT + OTHERS)
    return maker(file)


def calls_of(built: Built, passes: Pass = "forward") -> FreshCalls:
    known = Oracle()
    assert find_mismatch(built, passes, known) == ""
    return FreshCalls(built, passes, known)


class TestFreshCalls:
    def test_no_call_is_given_what_another_was(self, make: Callable[..., Built]) -> None:
        calls, seen, parameters = calls_of(make("Right", "exercise")), set(), set()
        with torch.no_grad():
            for _ in range(20):
                calls.turns(7)
                seen |= {slot.x.numpy().tobytes() for slot in calls._slots[:7]}
                parameters.add(calls.built.trial.module.out.weight.detach().numpy().tobytes())
        assert len(seen) == 140
        assert len(parameters) == 3

    @pytest.mark.parametrize("passes", PASSES)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_answer_of_every_input_is_known(self, make: Callable[..., Built], passes: Pass, dtype: str) -> None:
        calls = calls_of(make("Right", "2x17x3x24", dtype), passes)
        with torch.set_grad_enabled(passes == "training"):
            for _ in range(12):
                assert Clock("cpu").block(calls, 3) > 0
        assert calls.looks >= 8

    @pytest.mark.parametrize("passes", PASSES)
    def test_a_result_that_becomes_wrong_is_seen(self, make: Callable[..., Built], passes: Pass) -> None:
        built = make("Tired", "exercise")
        calls = calls_of(built, passes)
        built.trial.module.most = built.trial.module.calls + 12

        def blocks() -> None:
            for _ in range(20):
                Clock("cpu").block(calls, 2)

        with (
            torch.set_grad_enabled(passes == "training"),
            pytest.raises(TimeRefused, match="in a call that was timed") as found,
        ):
            blocks()
        assert found.value.outcome == "wrong"

    def test_parameters_are_put_back(self, make: Callable[..., Built]) -> None:
        built = make("Right", "exercise")
        before = [p.detach().clone() for p in built.leaves]
        calls = calls_of(built)
        while calls._output.factor == 1.0:
            calls._output.renew()
        assert not all(map(torch.equal, before, built.leaves))
        calls.put_back()
        assert all(map(torch.equal, before, built.leaves))

    def test_a_map_that_is_tied_to_another_is_left_as_it_is(self, make: Callable[..., Built]) -> None:
        calls = FreshCalls(make("Tied", "exercise"), "forward", None)
        calls._output.renew()
        assert calls._output.factor == 1.0

    def test_the_timed_call_is_the_subjects_own(self, make: Callable[..., Built]) -> None:
        built = make("Right", "exercise")
        turns, _ = FreshCalls(built, "forward", None).turns(3)
        assert [call.func for call in turns] == [built.trial.module] * 3

    def test_inputs_are_written_before_the_clock_starts(self, make: Callable[..., Built]) -> None:
        class Slow(FreshCalls):
            def fresh(self, count: int):
                time.sleep(0.05)
                return super().fresh(count)

        with torch.no_grad():
            assert Clock("cpu").block(Slow(make("Right", "exercise"), "forward", None), 1) < 0.05

    def test_a_slow_down_is_in_each_call(self, make: Callable[..., Built]) -> None:
        calls = FreshCalls(make("Right", "exercise"), "forward", None)
        assert slowed(calls, 0.5) is calls
        assert {call.keywords["share"] for call in calls.turns(3)[0]} == {0.5}

    def test_on_a_gpu_a_kernel_waits_for_a_share_of_what_the_call_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A queue in which a call takes 4 ms, and a waiting kernel a millionth of a millisecond for each of its cycles."""
        queue: list[float] = []

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = sum(queue)

            def elapsed_time(self, end: Any) -> float:
                return end.at - self.at

        monkeypatch.setattr(artificial_slowdown, "gpu_event", Event)
        monkeypatch.setattr(artificial_slowdown, "gpu_synchronize", lambda device: None)
        monkeypatch.setattr(artificial_slowdown, "gpu_sleep", lambda cycles: queue.append(cycles * 1e-6))
        slower = slowed(lambda: queue.append(4.0), 0.05, "cuda")
        slower()
        queue.clear()
        slower()
        assert queue == [4.0, pytest.approx(0.2)]


class TestLookedAt:
    @pytest.mark.parametrize("passes", PASSES)
    @pytest.mark.parametrize("name", ["baseline", "fused", "reference", "torch", "Right"])
    def test_nothing_is_seen_of_what_is_right(self, make: Callable[..., Built], name: str, passes: Pass) -> None:
        built, known = make(name, "exercise"), Oracle()
        calls = examined(built, passes, known)
        examine_again(built, passes, calls, known)

    def test_one_that_was_right_before(self, make: Callable[..., Built]) -> None:
        built, known = make("Tired", "exercise"), Oracle()
        built.trial.module.calls, built.trial.module.most = 0, 10**9
        calls = examined(built, "forward", known)
        built.trial.module.most = 0
        with pytest.raises(TimeRefused) as found:
            examine_again(built, "forward", calls, known)
        assert found.value.outcome == "wrong"

    def test_a_tool_that_is_replaced_is_named_and_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = time.perf_counter
        monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
        assert own_tools.replaced() == ["time.perf_counter"]
        assert time.perf_counter is before
        assert own_tools.replaced() == []

    def test_times_are_taken_with_timers_from_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
        assert Clock("cpu").block(lambda: time.sleep(0.01), 1) > 0.009

    def test_the_number_of_threads(self, make: Callable[..., Built], monkeypatch: pytest.MonkeyPatch) -> None:
        built, before = make("Right", "exercise"), torch.get_num_threads()
        monkeypatch.setattr(type(built.trial.module), "score", _with_more_threads(before + 1), raising=True)
        assert deeds(built, "forward", FreshCalls(built, "forward", None)) == ["it changes how many threads torch uses"]
        assert torch.get_num_threads() == before


def _with_more_threads(count: int) -> Callable[..., Tensor]:
    def score(self, q: Tensor, k: Tensor) -> Tensor:
        torch.set_num_threads(count)
        return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5

    return score


class TestGoingOn:
    def test_a_call_that_ends(self) -> None:
        assert goes_on(lambda: torch.ones(4).sum(), "cpu") == ""

    def test_a_thread_that_is_joined_has_ended(self) -> None:
        def call() -> None:
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()

        assert goes_on(call, "cpu") == ""

    def test_a_thread_that_outlives_the_call(self) -> None:
        ended = threading.Event()
        threads = []

        def call() -> None:
            threads.append(threading.Thread(target=ended.wait, name="late"))
            threads[-1].start()

        try:
            assert goes_on(call, "cpu") == "a call leaves the thread late running when it returns"
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def test_a_pool_that_waits_is_none(self) -> None:
        ended = threading.Event()
        thread = threading.Thread(target=ended.wait)
        thread.start()
        try:
            assert goes_on(lambda: None, "cpu") == ""
        finally:
            ended.set()
            thread.join()


class TestForm:
    def test_what_is_computed(self) -> None:
        assert hidden_form(torch.ones(2), "cpu") == ""
        assert hidden_form((torch.ones(2), None, torch.nn.Parameter(torch.ones(2))), "cpu") == ""
        assert hidden_form(torch.ones(0), "cpu") == ""

    def test_what_may_not_be(self) -> None:
        class Later(Tensor):
            pass

        assert hidden_form(torch.ones(2).as_subclass(Later), "cpu").startswith("a call gives Later, a subclass of Tensor")
        assert hidden_form(torch.ones(2, device="meta"), "cpu") == "a call gives a tensor on meta, not on cpu"
        assert hidden_form("text", "cpu") == "a call gives str, not a tensor"


class TestTooFast:
    def test_less_than_the_baseline_can(self, make: Callable[..., Built]) -> None:
        built = make("Right", "encoder 128")
        assert too_fast(built, 0.5, 0.55).startswith("it takes 0.50 x the baseline's time")
        assert too_fast(built, 0.5, 0.65) == "", "the interval says that it may be slower"
        assert too_fast(built, 0.7, 0.7) == ""

    def test_fewer_products_take_less(self, make: Callable[..., Built]) -> None:
        built = make("FewFeatures", "exercise")
        assert of_the_baseline(make("Right", "exercise")) == 1.0
        assert of_the_baseline(built) == 0.5
        assert too_fast(built, 0.4, 0.45) == ""
        assert too_fast(built, 0.2, 0.25) != ""

    def test_a_declared_reason(self, make: Callable[..., Built]) -> None:
        built = make("Right", "exercise")
        request = Request("a", built.contender.request.subject, faster="a kernel of its own")
        declared = replace(built, contender=Contender("a", request))
        assert too_fast(declared, 0.1, 0.1) == ""
