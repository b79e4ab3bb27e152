"""Which step an acceptance is about, however its commit came into the history."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.acknowledged import acknowledged, exceeds
from mhsa.bench.history.report import acceptance_of, print_steps
from mhsa.bench.history.steps import Step

COMMITS = [Commit(f"{n:040x}", n, f"words {n}") for n in range(20)]


def step(at: int, words: str = "slower", last: int | None = None, **more: object) -> Step:
    before, after = (1.0, 1.15) if words in ("slower", "faster") else (14, 29)
    usual = {"before": before, "after": after, "last": COMMITS[at - 1 if last is None else last]}
    return Step(words, "att", COMMITS[at], **{**usual, **more})  # type: ignore[arg-type]


def accepted(commit: int | None = None, base: int | None = None, figures: str = "", **more: object) -> Acceptance:
    names = ("" if n is None else COMMITS[n].sha for n in (base, commit))
    figure = Figures(1.0, {"operators": 15}) if figures == "operators" else Figures(1.15)
    return replace(Acceptance("r", {"att": figure}, "2026-11-30", "f", *names), **more)  # type: ignore[arg-type]


def marked(steps: list[Step], *found: tuple[int, Acceptance]) -> list[int]:
    """Return at which commits a step is accepted."""
    return [s.commit.date for s in acknowledged(steps, COMMITS, found) if s.accepted is not None]


def test_the_commit_itself_where_history_is_a_line() -> None:
    assert marked([step(3), step(6), step(9)], (7, accepted(commit=6, base=5))) == [6]


def test_a_step_that_may_lie_at_several_commits() -> None:
    assert marked([step(6, last=3)], (7, accepted(commit=4))) == [6]
    assert marked([step(6, last=4)], (7, accepted(commit=4))) == []


def test_squashed_or_merged_it_is_where_the_acceptance_came_in() -> None:
    gone = accepted(base=2, commit=None)
    assert marked([step(3), step(6)], (6, replace(gone, commit="f" * 40))) == [6]


def test_rebased_it_lies_between_base_and_the_acceptance() -> None:
    gone = replace(accepted(base=4), commit="f" * 40)
    assert marked([step(3), step(6), step(9)], (8, gone)) == [6]
    assert marked([step(3), step(6), step(9)], (8, replace(gone, base="e" * 40))) == [], "nothing is guessed"


def test_only_what_is_accepted_is_marked() -> None:
    steps = [step(6), step(6, "more operators"), step(6, "more memory"), step(6, "faster"), replace(step(6), benchmark="other")]
    both = accepted(commit=6, figures="operators")
    assert [s.words for s in acknowledged(steps, COMMITS, [(6, both)]) if s.accepted] == ["more operators"]
    assert [s.words for s in acknowledged(steps, COMMITS, [(6, accepted(commit=6))]) if s.accepted] == ["slower"]


@pytest.mark.parametrize(
    ("words", "after", "larger"), [("slower", 1.19, False), ("slower", 1.25, True), ("more operators", 29, False),
                                   ("more operators", 30, True)],
)  # fmt: skip
def test_a_step_that_is_larger_than_what_is_accepted_says_so(words: str, after: float, larger: bool) -> None:
    figures = "operators" if words != "slower" else ""
    (found,) = acknowledged([step(6, words, after=after)], COMMITS, [(6, accepted(commit=6, figures=figures))])
    assert exceeds(found) is larger
    assert acceptance_of(found).endswith("; the step is larger than that") is larger


def printed(*steps: Step) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_steps(console, steps, most=9)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_accepted_is_printed_and_needs_no_further_look() -> None:
    found = acknowledged([step(6), step(9)], COMMITS, [(6, accepted(commit=6))])
    text = printed(*found)
    assert "    accepted, 1.150x, 2026-11-30: r\n" in text
    assert text.count("to be sure: mhsa compare") == 1
    larger = [replace(s, after=2.0) for s in found]
    assert printed(*larger).count("to be sure: mhsa compare") == 2


def test_the_json_of_a_step() -> None:
    (found,) = acknowledged([step(6)], COMMITS, [(6, accepted(commit=6))])
    assert found.as_dict()["accepted"] == {"reason": "r", "figures": "1.150x", "date": "2026-11-30", "where": "f"}
    assert step(6).as_dict()["accepted"] is None
