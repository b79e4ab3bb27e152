"""Which comparisons are attributed: slower and costlier ones, the worst first, by what they are worse in."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mhsa.bench.compare import attributed as module
from mhsa.bench.compare.attributed import attributed
from mhsa.bench.compare.attribution.attribute import Attribution
from mhsa.bench.compare.attribution.client import Asked, attributions_of
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.comparison import Comparison, Increase
from mhsa.bench.compare.sequential_test import Decision
from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from tests.helpers.timed import line, profile, use

SIDES = {side: Checkout(side, side, "") for side in ("base", "head")}


def pair(name: str, ratio: float = 1.0, *increases: str, **more: Any) -> tuple[Benchmark, Comparison]:
    benchmark = Benchmark(Request(name, "m:A"), "forward", shape_of("exercise"), "float32")
    decision = Decision("slower" if ratio > 1 else "not slower", ratio, ratio, ratio, 5)
    found = tuple(Increase(what, 1, 2) for what in increases)
    return benchmark, Comparison(benchmark.id, decision, (1.0, ratio), found, **more)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float | None, bool]]:
    found: list[tuple[str, str, float | None, bool]] = []

    def attributions(checkouts: Any, some: Sequence[Any], *, apart: bool, **_: Any) -> list[Attribution]:
        found.extend((a.benchmark.request.label, a.measure, a.total and round(a.total, 3), apart) for a in some)
        return [Attribution(a.measure, a.total or 0.0, problem=a.benchmark.request.label) for a in some]

    monkeypatch.setattr(module, "attributions_of", attributions)
    return found


def test_the_worst_first_and_each_by_what_it_is_worse_in(asked: list[Any]) -> None:
    pairs = [pair("same"), pair("slow", 1.1), pair("slower", 1.5, "peak"), pair("memory", 1.0, "peak", "allocated"),
             pair("operators", 1.0, "peak", "operators"), pair("apart", 1.2, apart=True)]  # fmt: skip
    notes: list[str] = []
    found = attributed(pairs, SIDES, Terms(), lambda words: None, notes)
    assert asked == [
        ("slower", "seconds", 0.5, False), ("slow", "seconds", 0.1, False), ("memory", "bytes", None, False),
        ("operators", "calls", None, False), ("apart", "seconds", 0.2, True),
    ]  # fmt: skip
    assert [c.attribution.problem if c.attribution else None for c in found] == [
        None, "slow", "slower", "memory", "operators", "apart",
    ]  # fmt: skip
    assert notes == []


def test_what_is_left_out_is_said_and_a_self_test_attributes_nothing(asked: list[Any]) -> None:
    pairs = [pair(f"n{n}", 1.1 + n / 10) for n in range(9)]
    notes: list[str] = []
    attributed(pairs, SIDES, Terms(), lambda words: None, notes)
    assert [name for name, *_ in asked] == ["n8", "n7", "n6", "n5", "n4", "n3"]
    assert notes == ["where the difference comes from was looked for in 6 benchmarks; in 3 more it was not"]
    asked.clear()
    attributed(pairs, SIDES, Terms(slow_down=0.1), lambda words: None, notes)
    assert asked == []


def test_verdicts_outlive_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "attributions_of", interrupted)
    notes: list[str] = []
    (found,) = attributed([pair("slow", 1.1)], SIDES, Terms(), lambda words: None, notes)
    assert (found.verdict, found.attribution) == ("slower", None)
    assert notes == ["interrupted after the verdicts, so which lines make the difference is not known"]


PROFILES = {
    "base": profile(line(1, "a = f(x)", use("mm"))),
    "head": profile(line(1, "a = f(x)", use("mm")), line(2, "a.clone()", use("clone"))),
}


def run(monkeypatch: pytest.MonkeyPatch, dies: str, *names: str, apart: bool = False) -> tuple[list[Attribution], int]:
    """Attribute benchmarks; at one the process ends."""
    runs = 0

    def worker(command: Any, folder: Any, plan: str, hear: Any, look: Any, timeout: float) -> str:
        import json

        nonlocal runs
        runs += 1
        data = json.loads(plan)
        for b in data["benchmarks"]:
            one = Benchmark.of_dict(b)
            if one.request.label == dies:
                return "died"
            sides: Mapping[str, Any] = {side: PROFILES[side].as_dict() for side in data["checkouts"]}
            hear({"benchmark": one.id, **({"reason": "no such size"} if one.request.label == "n/a" else {"profiles": sides})})
        hear({"end": True})
        return ""

    monkeypatch.setattr("mhsa.bench.compare.attribution.client.run_worker", worker)
    asked = [Asked(pair(name)[0], "seconds", 1e-3) for name in names]
    return attributions_of(SIDES, asked, apart=apart), runs


@pytest.mark.parametrize("apart", [False, True])
def test_a_process_that_ends_costs_one_benchmark_its_attribution(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    (a, dies, b, unable), runs = run(monkeypatch, "dies", "a", "dies", "b", "n/a", apart=apart)
    assert [one.lines[0].text for one in (a, b)] == ["a.clone()", "a.clone()"]
    assert dies.problem == "the profile could not be made: died"
    assert unable.problem == "the profile could not be made: no such size"
    assert set(a.profiles) == {"base", "head"}
    assert runs == (4 if apart else 2)


@pytest.mark.parametrize(("low", "high", "total"), [(0.5e-3, 2e-3, 1e-3), (1.5e-3, 9e-3, 4e-3), (-1e-3, 0.9e-3, 4e-3)])
def test_the_difference_is_that_of_the_profile_where_the_verdict_allows_it(low: float, high: float, total: float) -> None:
    one = Asked(pair("a")[0], "seconds", 4e-3, low, high)
    assert one.total_of(PROFILES["base"], PROFILES["head"]) == pytest.approx(total)
    assert Asked(pair("a")[0], "calls").total_of(PROFILES["base"], PROFILES["head"]) is None


@pytest.mark.parametrize(("low", "high", "share"), [(0.0, 0.1, 0.5), (0.05, 9.0, 1.0)])
def test_a_machine_that_is_slower_while_it_is_profiled_moves_no_share(low: float, high: float, share: float) -> None:
    base, head = PROFILES["base"], PROFILES["head"]
    seen = head.seconds - base.seconds
    measured = base.seconds / 4  # of base, on a machine four times as fast
    one = Asked(pair("a")[0], "seconds", seen / 4 / share, low * measured, high * measured, measured)
    assert one.total_of(base, head) == pytest.approx(seen / share)
