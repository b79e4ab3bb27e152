"""Steps in a history: where the code moves, and not where the clock does."""

import io
import math
import random

import pytest
from rich.console import Console

from mhsa.bench.git.repository import Commit
from mhsa.bench.history.report import print_steps, sentence, unmeasured
from mhsa.bench.history.steps import Step, steps_of
from mhsa.bench.measure.measurement import Counters, Measurement
from mhsa.records.shape import SHAPES

COMMITS = [Commit(f"{n:040x}", n, f"words {n}") for n in range(60)]


def made(ratio: float, within: float = 0.01, **more: object) -> Measurement:
    ends = {"low": ratio * math.exp(-1.96 * within), "high": ratio * math.exp(1.96 * within)}
    usual = {"outcome": "measured", "ratio": ratio, "seconds": ratio, "counters": Counters(operators=14, peak=1024), **ends}
    return Measurement("att", "forward", SHAPES["exercise"], "float32", "cpu", **{**usual, **more})  # type: ignore[arg-type]


def steps(*series: Measurement | None) -> list[Step]:
    return steps_of("att", COMMITS[: len(series)], series)


def noisy(source: random.Random, *pieces: tuple[float, int], sd: float = 0.03) -> list[Measurement]:
    return [made(source.gauss(level, sd * level), 0.0) for level, length in pieces for _ in range(length)]


@pytest.mark.parametrize("n", [2, 6, 20, 50])
def test_what_a_process_draws_by_chance_is_no_step(n: int) -> None:
    source = random.Random(n)
    assert sum(bool(steps(*noisy(source, (1.02, n)))) for _ in range(200)) <= 4


@pytest.mark.parametrize(("n", "share"), [(8, 0.9), (20, 0.98), (50, 0.98)])
def test_a_step_of_17_per_cent_is_found_where_it_is(n: int, share: float) -> None:
    source = random.Random(n)
    found = 0
    for _ in range(100):
        told = steps(*noisy(source, (1.02, n // 2), (1.19, n // 2)))
        found += any(abs(step.commit.date - n // 2) <= 1 for step in told)
    assert found >= 100 * share


def test_two_commits_are_enough_for_a_large_step() -> None:
    (step,) = steps(made(1.02), made(1.5))
    assert sentence(step) == "slower: att from 1.02x to 1.50x at 0000000 'words 1'"
    (step,) = steps(made(1.5), made(1.02))
    assert step.words == "faster"
    assert steps(made(1.02), made(1.5, within=0.3)) == [], "one process could not tell by itself"


def test_less_than_five_per_cent_is_no_step_however_steady() -> None:
    assert steps(*[made(1.0) for _ in range(25)], *[made(1.04) for _ in range(25)]) == []


def test_what_has_no_figure_is_passed_over_and_said() -> None:
    (step,) = steps(made(1.0), None, made(1.0, outcome="n/a"), made(2.0))
    assert (step.commit, step.last, step.between) == (COMMITS[3], COMMITS[0], 2)
    assert sentence(step).endswith("'words 3' or up to 2 commits before it, which have no figure")


def test_what_is_counted_is_exact() -> None:
    a, b = made(1.0), made(1.0, counters=Counters(operators=15, peak=2048))
    assert [sentence(s) for s in steps(a, b, b, a)] == [
        "more memory: att from 1.00 KiB to 2.00 KiB at 0000000 'words 1'",
        "more operators: att from 14 to 15 at 0000000 'words 1'",
        "less memory: att from 2.00 KiB to 1.00 KiB at 0000000 'words 3'",
        "fewer operators: att from 15 to 14 at 0000000 'words 3'",
    ]


def test_a_wrong_commit_is_told_once_and_its_ratio_never() -> None:
    wrong = made(9.0, outcome="wrong", reason="output[0]=1,\nmust be 2")
    found = steps(made(1.0), wrong, wrong, made(1.0), wrong)
    assert [sentence(s) for s in found] == [
        "wrong: att at 0000000 'words 1': output[0]=1, must be 2",
        "wrong: att at 0000000 'words 4': output[0]=1, must be 2",
    ]


def test_a_suspect_commit_is_told_once() -> None:
    suspect = made(0.01, outcome="suspect", reason="it keeps its answers")
    found = steps(made(1.0), suspect, suspect, made(1.0))
    assert [sentence(s) for s in found] == ["suspect: att at 0000000 'words 1': it keeps its answers"]


def test_how_to_be_sure() -> None:
    console = Console(file=io.StringIO(), width=100)
    print_steps(console, steps(made(1.0), made(2.0)), most=2)
    assert "    to be sure: mhsa compare 0000000 0000000" in console.file.getvalue()  # type: ignore[attr-defined]
    console = Console(file=io.StringIO(), width=100)
    print_steps(console, [], most=1)
    assert console.file.getvalue().strip() == ""  # type: ignore[attr-defined]
    print_steps(console, [], most=2)
    assert "no steps" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_reason_is_said_once_for_all_its_commits() -> None:
    series = [made(1.0, outcome="n/a", reason="gone")] * 5
    assert unmeasured("att", COMMITS[:5], series) == ["n/a: att at 0000000, 0000000, 0000000 and 2 more: gone"]
