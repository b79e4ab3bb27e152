"""Shapes with fewer queries than keys: checked, called with other numbers each time, and timed as any other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mhsa.bench.measure.cell import Bench, Cell
from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.correctness import find_mismatch
from mhsa.bench.measure.expected import Oracle
from mhsa.bench.measure.honesty.examine import examine_again, examined
from mhsa.bench.measure.honesty.fastest_possible import of_the_baseline
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.implementation import Built, NotMeasurable
from mhsa.bench.measure.measurement import Contender
from mhsa.records.shape import shape_of
from tests.helpers.building import maker
from tests.helpers.timed import RIGHT

OTHERS = """

class FewKeys(Right):
    def forward(self, query, key, value, mask=None):
        if key.shape[1] > query.shape[1]:
            key, value = key[:, :-1], value[:, :-1]
        return super().forward(query, key, value, mask)


class Alone(Right):
    def forward(self, x, mask=None):
        return super().forward(x, x, x, mask)


class Tired(Right):
    calls, most = 0, 10**9

    def forward(self, query, key, value, mask=None):
        self.calls += 1
        out = super().forward(query, key, value, mask)
        return out if self.calls <= self.most else out * 1.5


class Writes(Right):
    writes = False

    def forward(self, query, key, value, mask=None):
        out = super().forward(query, key, value, mask)
        if self.writes:
            query.mul_(2)
        return out
"""
FEW = "2x3/17x3x24"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    file: Path = tmp_path_factory.mktemp("few") / "subjects.py"
    file.write_text(RIGHT + OTHERS)
    return maker(file)


@pytest.mark.parametrize("name", ["Right", "torch", "torch+weights", "fused", "baseline"])
@pytest.mark.parametrize("shape", [FEW, "1x1/32x2x8", "1x1/2x1x4"])
def test_what_is_right_is_right(make: Callable[..., Built], name: str, shape: str) -> None:
    built = make(name, shape)
    with torch.no_grad():
        calls = examined(built, "forward", Oracle())
        for _ in range(10):
            assert Clock("cpu").block(calls, 3) > 0
    examine_again(built, "forward", calls, Oracle())
    assert calls.looks >= 7


def test_a_key_that_is_lost_only_then_is_seen(make: Callable[..., Built]) -> None:
    assert find_mismatch(make("FewKeys", "2x17x3x24"), "forward", Oracle()) == ""
    assert "output" in find_mismatch(make("FewKeys", FEW), "forward", Oracle())


def test_the_queries_are_the_first_tokens(make: Callable[..., Built]) -> None:
    built = make("Right", FEW)
    with torch.no_grad():
        few = built.bind(built.x)()
        whole = make("Right", "2x17x3x24")
        assert torch.allclose(few, whole.bind(built.x)()[:, :3], atol=1e-6)


def blocks(calls: FreshCalls) -> None:
    for _ in range(20):
        Clock("cpu").block(calls, 3)


def test_no_call_is_given_what_another_was_and_a_wrong_one_is_seen(make: Callable[..., Built]) -> None:
    built = make("Tired", FEW)
    known = Oracle()
    assert find_mismatch(built, "forward", known) == ""
    calls = FreshCalls(built, "forward", known)
    seen = set()
    with torch.no_grad():
        for _ in range(10):
            Clock("cpu").block(calls, 3)
            seen |= {slot.query.numpy().tobytes() for slot in calls._slots if slot.query is not None}
        assert len(seen) == 30
        built.trial.module.most = built.trial.module.calls
        with pytest.raises(TimeRefused, match="in a call that was timed"):
            blocks(calls)


def test_one_that_writes_into_its_query_is_suspect(make: Callable[..., Built]) -> None:
    built = make("Writes", FEW)
    calls = FreshCalls(built, "forward", None)
    built.trial.module.writes = True
    with torch.no_grad(), pytest.raises(TimeRefused, match="writes into its input"):
        calls.look(slot := calls.fresh(1)[0], slot.call())


def test_one_that_takes_a_single_input_has_no_such_call(make: Callable[..., Built]) -> None:
    with pytest.raises(NotMeasurable, match="as many queries as keys"):
        make("Alone", FEW)


def test_the_training_pass_is_not_examined(make: Callable[..., Built]) -> None:
    with pytest.raises(NotMeasurable, match="only the forward pass is timed"):
        examined(make("Right", FEW), "training", Oracle())


def test_the_products_are_those_of_few_queries(make: Callable[..., Built]) -> None:
    assert of_the_baseline(make("Right", FEW)) == 1.0


def test_it_is_timed_in_the_forward_pass() -> None:
    bench = Bench(("forward", "training"), 0.01, counted=False)
    forward, training = bench.measure(Cell(shape_of("1x1/16x2x8"), "float32", "cpu"), [Contender.known("fused")])
    assert (forward.outcome, forward.rows) == ("measured", 1)
    assert training.reason == "where not every token is a query, only the forward pass is timed"
