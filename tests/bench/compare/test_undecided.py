"""What is said where there was not time enough for a verdict."""

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.sequential_test import decide
from mhsa.bench.compare.settings import MOST, Terms
from mhsa.bench.compare.undecided import about_undecided
from mhsa.records.request import Request
from mhsa.records.shape import SHAPES


def found(ratios: list[float], *, apart: bool = False) -> BenchmarkRounds:
    rounds = BenchmarkRounds(Benchmark(Request("a", "a"), "training", SHAPES["many heads"], "float32"), ratios, apart=apart)
    rounds.seconds = [(0.25, 0.3)] * len(ratios)
    rounds.decision = decide(ratios, threshold=0.03, looks=(4, 14), benchmarks=1, last=True) if ratios else None
    return rounds


def test_too_little_time_is_told_with_how_much_would_do() -> None:
    (note,) = about_undecided([found([0.2, -0.2, 0.1, -0.1, 0.2, 0.0, 0.02])], Terms())
    assert note == (
        "a training many heads float32 cannot be told within 180 s: a call takes up to 300 ms, so there was time for 7 rounds; "
        "--budget 480 has time for 14"
    )
    (two,) = about_undecided([found([0.2, -0.2, 0.1, -0.1])] * 2, Terms(budget=60))
    assert two.startswith("2 benchmarks cannot be told within 60 s: ")


def test_after_all_rounds_more_time_is_not_the_answer() -> None:
    (note,) = about_undecided([found([0.2, -0.2] * (MOST // 2))], Terms())
    words = "cannot be told after all 14 rounds: the machine is too busy; try again when it is less so"
    assert note == f"a training many heads float32 {words}"


def test_what_is_decided_or_was_not_timed_is_not_mentioned() -> None:
    wrong = found([])
    wrong.end("wrong", {"head": "wrong"})
    assert about_undecided([found([0.0] * MOST), wrong, found([])], Terms()) == []


def test_sides_apart_have_a_time_of_their_own() -> None:
    (note,) = about_undecided([found([0.5, -0.5, 0.3, -0.3], apart=True)], Terms())
    assert "within 600 s" in note
