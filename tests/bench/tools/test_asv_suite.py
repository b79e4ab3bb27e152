"""The suite that asv is given: a figure for every combination, and what asv shows where there is none."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from mhsa.bench.measure.measurement import BASELINE
from mhsa.bench.measure.run import Run
from mhsa.bench.measure.worker import Plan
from mhsa.bench.tools import asv_suite as suite
from mhsa.records.request import Request
from tests.helpers.timed import SUBJECTS, made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench")
    (path / "subjects.py").write_text(SUBJECTS)
    return path


class TestSuite:
    """What asv is given."""

    PARAMS = (
        ["mine", "fused", BASELINE],
        ["forward", "training"],
        ["exercise", "wide"],
        ["float32", "bfloat16"],
        ["cpu", "cuda"],
    )
    KEY = ("fused", "forward", "exercise", "float32", "cpu")

    @pytest.fixture
    def plans(self, monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
        plans: list[Plan] = []

        def run(plan: Plan) -> Run:
            plans.append(plan)
            found = [
                replace(made(c.name, passes=p, shape=shape), dtype=dtype, device=device)
                for c in plan.contenders
                for p in plan.passes
                for shape, dtype, device in plan.cells
            ]
            return Run(found)

        monkeypatch.setattr(suite, "run", run)
        for name in [name for name in os.environ if name.startswith("MHSA_BENCH_")]:
            monkeypatch.delenv(name)
        return plans

    def measured(self) -> suite.Figures:
        return suite.measured(self.PARAMS, {"mine": Request("mine", "m.py:A")})

    def test_there_is_a_figure_for_every_combination_and_a_process_for_every_device(self, plans: list[Plan]) -> None:
        found = self.measured()
        assert len(found) == 3 * 2 * 2 * 2 * 2
        assert found[self.KEY]["ratio"] == 1.25
        assert [{device for _, _, device in plan.cells} for plan in plans] == [{"cpu"}, {"cuda"}]
        assert [c.request.spec for c in plans[0].contenders][:2] == ["m.py:A", "mhsa:fused_attention"]
        assert {plan.budget for plan in plans} == {suite.BUDGET}
        assert all(plan.keeping for plan in plans)

    def test_a_variable_narrows_a_run_down(self, plans: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
        for what, names in (
            ("SHAPES", "wide"), ("IMPLEMENTATIONS", "baseline , mine,"), ("PASSES", "training"), ("DTYPES", "bfloat16"),
            ("DEVICES", "cpu"), ("BUDGET", "0.07"),
        ):  # fmt: skip
            monkeypatch.setenv(f"MHSA_BENCH_{what}", names)
        found = self.measured()
        assert set(found) == {(n, "training", "wide", "bfloat16", "cpu") for n in ("mine", BASELINE)}
        assert [plan.budget for plan in plans] == [0.07]
        with pytest.raises(NotImplementedError, match="n/a: not asked for"):
            suite.require(found, self.KEY)

    @pytest.mark.parametrize("what", ["SHAPES", "IMPLEMENTATIONS", "PASSES", "DTYPES", "DEVICES"])
    def test_a_variable_that_names_what_is_not_there_says_what_is(
        self, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        monkeypatch.setenv(f"MHSA_BENCH_{what}", "nosuch")
        axis = ("IMPLEMENTATIONS", "PASSES", "SHAPES", "DTYPES", "DEVICES").index(what)
        with pytest.raises(ValueError, match=f"MHSA_BENCH_{what} names nosuch; there are {', '.join(self.PARAMS[axis])}"):
            self.measured()
        assert plans == []

    def test_what_asv_shows_where_there_is_no_figure(self) -> None:
        figures = {self.KEY: made("fused").as_dict()}
        suite.require(figures, self.KEY)
        figures[self.KEY] = made("fused", "wrong").as_dict()
        with pytest.raises(AssertionError, match="failed: wrong result: for a reason"):
            suite.require(figures, self.KEY)
        figures[self.KEY] = made("fused", "n/a").as_dict()
        with pytest.raises(NotImplementedError, match="n/a: for a reason"):
            suite.require(figures, self.KEY)
        with pytest.raises(NotImplementedError, match="n/a: not asked for"):
            suite.require({}, self.KEY)

    def test_every_track_is_a_number(self) -> None:
        figures = {self.KEY: made("fused").as_dict()}
        tracks = {name: getattr(suite.Suite(), name) for name in dir(suite.Suite) if name.startswith("track_")}
        found = {name: track(figures, *self.KEY) for name, track in tracks.items()}
        assert math.isnan(found.pop("track_kernels"))  # which asv shows as n/a
        assert found == {
            "track_ratio_to_baseline": 1.25, "track_seconds": 0.00123, "track_operators": 9, "track_flops": 8,
            "track_allocated": 7, "track_peak_memory": 6,
        }  # fmt: skip
        assert all(track.unit for track in tracks.values())

    def test_a_class_of_benchmarks_measures_for_real(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setenv("MHSA_BENCH_BUDGET", "0.01")

        class Mine(suite.Suite):
            requests: ClassVar = {"mine": Request("mine", f"{folder}/subjects.py:Wrong")}
            params: ClassVar = (["mine", BASELINE], ["forward"], ["exercise"], ["float32"], ["cpu"])

        mine = Mine()
        found = mine.setup_cache()
        assert json.loads(json.dumps(list(found.values()))) == list(found.values())
        mine.setup(found, BASELINE, *self.KEY[1:])
        assert mine.track_seconds(found, BASELINE, *self.KEY[1:]) > 0.0
        with pytest.raises(AssertionError, match="failed: wrong result: output"):
            mine.setup(found, "mine", *self.KEY[1:])
