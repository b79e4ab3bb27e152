"""Rounds of mhsa compare: how many are added to what, and sides that cannot share a process."""

import itertools
import json
import math
from pathlib import Path

import pytest

from mhsa.bench.compare import rounds
from mhsa.bench.compare.accepted.acceptance import Acceptance, allowance_of
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.pairing import _goes_on
from mhsa.bench.compare.report import acceptances
from mhsa.bench.compare.rounds import BenchmarkRounds, add_rounds
from mhsa.bench.compare.running import comparison_of
from mhsa.bench.compare.sequential_test import FEWEST, decide, planned_looks
from mhsa.bench.compare.settings import APART_MOST, MOST, Terms
from mhsa.commands.cli import main
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from tests.helpers.repository import MODULE, Repository


def founds(*labels: str) -> list[BenchmarkRounds]:
    return [BenchmarkRounds(Benchmark(Request(name, "m:M"), "forward", shape_of("exercise"), "float32")) for name in labels]


class Clock:
    """Time that passes only when a round is added."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lengths: float) -> None:
        self.now = 100.0
        self.lengths = itertools.chain(lengths, itertools.repeat(lengths[-1]))
        self.asked: list[list[str]] = []
        monkeypatch.setattr(rounds.time, "monotonic", lambda: self.now)

    def add(self, **ratios: list[float]):
        def add(left: list[BenchmarkRounds], number: int, words: str) -> None:
            self.now += next(self.lengths)
            self.asked.append([found.benchmark.request.label for found in left])
            for found in left:
                found.log_ratios.append(ratios[found.benchmark.request.label][number - 1])

        return add


STEADY = [0.001, -0.001] * 7
LOUD = [0.5, -0.5] * 7


def test_what_is_decided_has_no_further_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1)
    found = founds("a", "b")
    add_rounds(found, clock.add(a=STEADY, b=LOUD), threshold=0.03, budget=100, benchmarks=2)
    assert clock.asked == [["a", "b"]] * FEWEST + [["b"]] * (MOST - FEWEST)
    assert [f.decision.verdict for f in found if f.decision] == ["not slower", "cannot tell"]


@pytest.mark.parametrize(("budget", "expected"), [(1, FEWEST), (60, 6), (79, 7), (1000, MOST)])
def test_the_time_is_kept_but_for_the_four_that_any_verdict_needs(
    monkeypatch: pytest.MonkeyPatch, budget: float, expected: int
) -> None:
    clock = Clock(monkeypatch, 10)
    found = founds("a")
    add_rounds(found, clock.add(a=LOUD), threshold=0.03, budget=budget, benchmarks=1)
    assert len(clock.asked) == expected
    assert found[0].decision is not None
    assert found[0].decision.processes == expected


def test_sides_apart_may_have_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 10)
    found = founds("a")
    add_rounds(found, clock.add(a=LOUD * 3), threshold=0.1, budget=1000, benchmarks=1, most=Terms().most_of(apart=True))
    assert len(clock.asked) == APART_MOST > Terms().most_of(apart=False) == MOST


def test_a_long_first_round_is_not_taken_for_the_length_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the looks that the first round's length allows, the error would be spent after four, and 3 % not be found."""
    clock = Clock(monkeypatch, 60, 10)
    found = founds("a")
    slow = [0.03 + 0.01 * (-1) ** n for n in range(MOST)]
    add_rounds(found, clock.add(a=slow), threshold=0.03, budget=190, benchmarks=10)
    assert found[0].decision is not None
    assert found[0].decision.verdict == "slower"


def test_a_machine_that_becomes_faster_has_no_looks_that_were_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 20, 20, 20, 1)
    add_rounds(founds("a"), clock.add(a=LOUD), threshold=0.03, budget=140, benchmarks=1)
    assert len(clock.asked) == 7


def test_what_has_ended_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1)
    one, other = founds("a", "b")

    def add(left: list[BenchmarkRounds], number: int, words: str) -> None:
        clock.add(a=STEADY, b=STEADY)(left, number, words)
        if number == 2:
            other.end("wrong", {"head": "x"})

    add_rounds([one, other], add, threshold=0.03, budget=100, benchmarks=2)
    assert clock.asked[2:] == [["a"], ["a"]]
    assert other.decision is None
    assert add_rounds([], add, threshold=0.03, budget=100, benchmarks=2) is None


# --- What is accepted ---------------------------------------------------------------------------------------------------


def allow(found: BenchmarkRounds, ratio: float, **more: int) -> None:
    acceptance = Acceptance("r", {found.benchmark.id: Figures(ratio, more)}, "", "")
    found.allowance = allowance_of(found.benchmark.id, [acceptance])


@pytest.mark.parametrize(
    ("ratio", "accepted", "verdict", "slack"),
    [
        (1.15, 1.15, "accepted", False),
        (1.15, 1.0, "slower", False),
        (1.25, 1.15, "slower", False),
        (1.16, 1.15, "accepted", False),  # less than the threshold beyond what is accepted
        (1.06, 1.15, "accepted", True),
        (1.0, 1.15, "not slower", True),
        (0.9, 1.15, "not slower", True),
    ],
)
def test_head_is_judged_against_base_times_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, ratio: float, accepted: float, verdict: str, slack: bool
) -> None:
    clock = Clock(monkeypatch, 1)
    one, other = founds("a", "b")
    allow(one, accepted)
    slow = [x + math.log(ratio) for x in STEADY]
    beside = [x + math.log(1.15) for x in STEADY]
    add_rounds([one, other], clock.add(a=slow, b=beside), threshold=0.03, budget=100, benchmarks=2)
    found, another = comparison_of_timed(one), comparison_of_timed(other)
    assert found.verdict == verdict
    assert found.slack is slack or accepted == 1
    assert found.decision is not None
    assert found.decision.ratio == pytest.approx(ratio, rel=0.002), "what is shown is head / base"
    assert another.verdict == "slower", "what is accepted of one loosens nothing for another"


def comparison_of_timed(found: BenchmarkRounds) -> Comparison:
    found.seconds = [(1.0, 1.0)] * len(found.log_ratios)
    return comparison_of(found, 0.03)


def test_the_test_itself_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1)
    (one,) = founds("a")
    allow(one, 1.2)
    add_rounds([one], clock.add(a=[x + math.log(1.2) for x in LOUD]), threshold=0.03, budget=100, benchmarks=1)
    plain = decide(LOUD, threshold=0.03, looks=planned_looks(), benchmarks=1, last=True)
    assert one.decision is not None
    assert (one.decision.verdict, one.decision.processes) == (plain.verdict, plain.processes)
    assert one.decision.high == pytest.approx(1.2 * plain.high)
    assert one.decision.low == pytest.approx(1.2 * plain.low)


@pytest.mark.parametrize(("more", "verdict"), [(15, "accepted"), (14, "costs more"), (0, "costs more")])
def test_what_is_counted_is_accepted_exactly(monkeypatch: pytest.MonkeyPatch, more: int, verdict: str) -> None:
    clock = Clock(monkeypatch, 1)
    (one,) = founds("a")
    allow(one, 1.1, **({"operators": more} if more else {}))
    one.counters = {"base": {"operators": 30}, "head": {"operators": 45}}
    add_rounds([one], clock.add(a=STEADY), threshold=0.03, budget=100, benchmarks=1)
    found = comparison_of_timed(one)
    assert (found.verdict, len(found.increases)) == (verdict, verdict == "costs more")
    if verdict == "accepted":
        assert not acceptances([found])[0].startswith("accepted, but no longer needed")


# --- Sides apart ---------------------------------------------------------------------------------------------------------

LIBRARY = """
import torch

LIBRARY = torch.library.Library("mhsa_test_rounds", "DEF")
LIBRARY.define("twice(Tensor x) -> Tensor")
LIBRARY.impl("twice", lambda x: x + x, "CompositeImplicitAutograd")
"""
WITH_LIBRARY = LIBRARY + MODULE.replace(
    "* scale(q.size(-1))", "* scale(q.size(-1))\n        torch.ops.mhsa_test_rounds.twice(q)"
)
SLOW = WITH_LIBRARY.replace("        scores = (q", "        for _ in range(40):\n            q @ k.mT\n        scores = (q")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path)
    repository.commit("library", {"pack/attention.py": WITH_LIBRARY})
    return repository


def compare(*arguments: str) -> tuple[int, dict]:
    few = ["--shape", "exercise", "--pass", "forward", "--no-verify", "--budget", "1", "--json", "../out.json", "--no-color"]
    code = main(["compare", *arguments, *few])
    return code, json.loads(Path("../out.json").read_text())


def test_what_cannot_be_loaded_twice_is_measured_apart(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("slow", {"pack/attention.py": SLOW})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["apart"]) == (1, True)
    assert benchmark["verdict"] in ("slower", "costs more")  # operators are counted exactly here, too
    assert benchmark["decision"]["ratio"] > 1.5
    assert [i["what"] for i in benchmark["increases"]][:1] == ["operators"]
    (note,) = found["notes"]
    assert note.startswith("the two commits cannot be loaded into one process (")
    assert "Only a single TORCH_LIBRARY" in note
    assert note.endswith("so each had processes of its own: what matters is then 10 %")
    assert "each had processes of its own" in capsys.readouterr().out
    assert repository.worktrees() == []


def test_apart_on_request_and_wrong_on_one_side(repository: Repository) -> None:
    repository.commit("wrong", {"pack/scale.py": "def scale(d_k):\n    return 1 / d_k\n"})
    code, found = compare("HEAD~1", "--apart")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], list(benchmark["reasons"])) == (1, "wrong", ["head"])
    code, found = compare("HEAD~1", "HEAD~1", "--apart", "--threshold", "80%")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], benchmark["apart"], found["notes"]) == (0, "not slower", True, [])
    assert found["threshold_apart"] == 0.8


def test_a_head_that_cannot_be_imported_is_no_matter_of_loading_twice(repository: Repository) -> None:
    repository.commit("broken", {"pack/attention.py": "import nowhere\n"})
    code, found = compare("HEAD~1")
    (benchmark,) = found["benchmarks"]
    assert (code, benchmark["verdict"], list(benchmark["reasons"])) == (2, "n/a", ["head"])
    assert "nowhere" in benchmark["reasons"]["head"]
    assert found["notes"] == []


# --- Pairs of blocks in a round -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratios", "spent", "goes_on"),
    [
        ([], 100.0, True),  # a call of a minute has one ratio at least
        ([0.0], 100.0, False),
        ([0.0] * 5, 3.0, True),
        ([0.0] * 6, 3.0, False),
        ([0.0] * 8, 0.1, True),  # too few to say how much they scatter
        ([0.001, -0.001] * 8, 0.1, False),
        ([0.101, 0.099] * 8, 0.1, False),  # to which side they lean does not matter
        ([0.02, -0.02] * 8, 0.1, True),
        ([0.02, -0.02] * 100, 0.8, False),
        ([0.001, -0.001] * 8 + [0.5, 0.5], 0.1, False),  # outliers move no median
    ],
)
def test_blocks_are_added_until_the_median_is_known(ratios: list[float], spent: float, goes_on: bool) -> None:
    assert _goes_on(ratios, spent, budget=2.0) is goes_on
