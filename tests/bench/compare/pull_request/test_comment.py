"""The comment on a pull request: on one screen, found again by its first line, and what it says to write is what is read."""

import re
from dataclasses import replace

import pytest

from mhsa.bench.compare.accepted.acceptance import Acceptance, Allowance
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.accepted.trailers import accepted_in
from mhsa.bench.compare.comparison import Comparison, Increase
from mhsa.bench.compare.pull_request.comment import annotated, comment
from mhsa.bench.compare.pull_request.marker import MARKER
from mhsa.bench.compare.pull_request.picture import picture
from mhsa.bench.compare.pull_request.what_to_do import what_to_do
from mhsa.bench.compare.report import acceptances
from mhsa.bench.compare.sequential_test import Decision
from mhsa.bench.git.repository import Message

SLOWER = Decision("slower", 1.15, 1.14, 1.16, 7)
SAME = Decision("not slower", 1.0, 0.99, 1.01, 7)
UNSURE = Decision("cannot tell", 1.02, 0.95, 1.09, 14)
COMMITS = {"base": "0f9e8d7c6b", "head": "1a2b3c4d5e"}
MACHINE: dict[str, str | int] = {"device": "cpu", "cpu": "EPYC", "threads": 1}
WIDE = 96  # letters of a block of code that GitHub shows in a comment without a bar to scroll by


def made(name: str, decision: Decision | None = SAME, **more: object) -> Comparison:
    return Comparison(f"att {name} float32", decision, (1e-4, 1.1e-4), **more)  # type: ignore[arg-type]


def accepted(name: str, ratio: float = 1.15, **more: object) -> Comparison:
    figures = Figures(ratio)
    by = Acceptance("float64, for accuracy", {f"att {name} float32": figures}, "2026-11-30", "mhsa-accepted.toml")
    decision = replace(SLOWER, verdict="not slower")
    return made(name, **{"decision": decision, "allowance": Allowance(figures, (by,)), "needed": True, **more})  # type: ignore[arg-type]


def text(*comparisons: Comparison, notes: tuple[str, ...] = ()) -> str:
    return comment(comparisons, MACHINE, COMMITS, notes, 0.03)


RED = [made("training", SLOWER, increases=(Increase("operators", 25, 40),)), *(made(f"forward {n}") for n in range(5))]


def test_a_later_run_finds_it() -> None:
    for found in (text(*RED), text(made("a")), text()):
        assert found.splitlines()[0] == MARKER == "<!-- mhsa compare -->"


def test_it_has_the_verdict_the_table_the_picture_and_what_to_do() -> None:
    lines = text(*RED).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert lines[1] == "### ❌ mhsa compare: slower: 1 of 6 benchmarks; not slower: 5"
    assert "Head `1a2b3c4d5e` against base `0f9e8d7c6b`." in lines
    assert "| att training float32 | 100 us | 110 us | 1.150x | 1.140 to 1.160 | **slower** |" in lines
    assert "- att training float32: more operators (25 to 40, 1.60x)" in lines
    assert "**What to do**" in lines
    assert sum(line.endswith("  slower") for line in lines) == 1


@pytest.mark.parametrize("slower", [1, 6, 40])
def test_a_red_one_fits_on_a_screen(slower: int) -> None:
    name = "a.rather.long.name:OfAnAttention training encoder"
    rows = [made(f"{name} {n}", SLOWER, increases=(Increase("operators", 25, 40),)) for n in range(slower)]
    found = text(*rows, *(made(f"other {n}") for n in range(40 - slower)), notes=("x " * 400,))
    shown = found.partition("<details>")[0]
    assert len(shown.splitlines()) <= 46
    assert all(len(line) < 400 for line in shown.splitlines())
    for line in shown.partition("```text\n")[2].partition("```")[0].splitlines():
        assert len(line) <= WIDE
    assert all(f"{name} {n} " in found for n in range(slower)), "what is not shown at once is behind a click"


def test_thousands_of_benchmarks_fit_into_a_comment() -> None:
    assert len(text(*(made(f"{'x' * 60} {n}", SLOWER) for n in range(3000)))) < 65_536


def test_the_picture_is_in_proportion() -> None:
    lines = picture([made("a", SLOWER), made("b"), made("c", UNSURE), made("d", None, outcome="n/a")], 0.03)
    slower, same, unsure = (line[2:] for line in lines[1:4])
    assert len(lines) == 5, "what has no figure is not drawn"
    base = same.index("o")
    assert slower[base] == "|"
    assert slower.index("o") > slower.index(":") > base
    assert unsure.count("-") > 2 * same.count("-"), "an interval is as wide as it is uncertain"
    assert picture([made("d", None, outcome="n/a")], 0.03) == []


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    long = "a.rather.long.name.of.a.package:WithAClass"
    names = [f"{long} {p} {s}" for p in ("forward", "training") for s in ("encoder 128", "encoder 512")]
    lines = picture([made(name) for name in names], 0.03)
    assert [line.partition("  ")[0] for line in lines[1:5]] == [
        "forward encoder 128", "forward encoder 512", "training encoder 128", "training encoder 512",
    ]  # fmt: skip
    lines = picture([made(f"{n} {long} {long}") for n in "ab"], 0.03)
    assert [line.partition("  ")[0] for line in lines[1:3]] == ["a", "b"]
    lines = picture([made(f"{long}{n} {long}{n}") for n in "ab"], 0.03)
    assert [line.partition("  ")[0][-2:] for line in lines[1:3]] == ["sa", "sb"]
    assert len(lines[1]) <= WIDE
    assert picture([made("a b")], 0.03)[1].startswith("att a b float32 ")
    assert [line[:2] for line in picture([made("a"), made("a")], 0.03)[1:3]] != ["  ", "  "]


def test_an_open_interval_ends_at_the_edge() -> None:
    lines = picture([made("a", Decision("cannot tell", 1.0, 0.0, float("inf"), 1)), made("b", SLOWER)], 0.03)
    assert max(map(len, lines)) <= WIDE
    assert lines[1].count("-") > 25


def test_what_it_says_to_write_is_what_is_read() -> None:
    lines = what_to_do(RED, "main")
    assert any('`mhsa compare main --accept "REASON"`' in line for line in lines)
    (trailer,) = (line.strip() for line in lines if line.strip().startswith("Mhsa-accept"))
    (found,) = accepted_in([Message("0" * 40, "", f"x\n\n{trailer}\n")])
    assert found.figures == {"att training float32": Figures(1.15, {"operators": 15})}


def test_only_what_goes_beyond_what_is_accepted_is_left_to_accept() -> None:
    slower = accepted("training", 1.1, decision=replace(SLOWER, ratio=1.21), increases=(Increase("peak", 100, 150),))
    (trailer,) = (line for line in what_to_do([slower], "main") if "Mhsa-accept" in line)
    assert "att training float32: 1.100x, +50 peak: REASON" in trailer


@pytest.mark.parametrize(
    ("comparison", "symbol", "words"),
    [
        (made("a"), "✅", None),
        (accepted("a"), "☑️", None),
        (made("a", UNSURE), "⚠️", "run the job again"),
        (made("a", None, outcome="n/a", reasons={"head": "no"}), "⚠️", "the reason stands above"),
        (made("a", None, outcome="wrong", reasons={"head": "no"}), "❌", "`mhsa verify` says"),
        (made("a", None, outcome="suspect", reasons={"head": "no"}), "❌", "not that of the computation"),
    ],
)
def test_each_verdict_has_its_sign_and_its_advice(comparison: Comparison, symbol: str, words: str | None) -> None:
    found = text(comparison)
    assert found.splitlines()[1].startswith(f"### {symbol} mhsa compare: {comparison.verdict}: 1 of 1")
    assert ("**What to do**" in found) is (words is not None)
    assert (words or "") in found
    assert "--accept" not in found, "only what is slower or costs more can be accepted"


def test_what_is_accepted_is_said_in_every_verdict() -> None:
    words = "accepted: att a float32, 1.150x: float64, for accuracy (mhsa-accepted.toml, 2026-11-30)"
    assert acceptances([accepted("a")]) == [words]
    assert words in text(accepted("a"), made("b", SLOWER))
    assert words in text(accepted("a", decision=replace(UNSURE)))
    assert "A" in picture([accepted("a", 1.1)], 0.03)[1]


def test_several_of_one_acceptance_are_said_once() -> None:
    (line,) = acceptances([accepted("a", 1.1), accepted("a", 1.1)])
    assert line.startswith("accepted: 2 benchmarks, 1.100x: ")


def test_what_no_longer_fits_is_said() -> None:
    (gone,) = acceptances([accepted("a", decision=SAME, needed=False)])
    assert gone.startswith("accepted, but no longer needed, as head is not slower than base; it can be removed: att a float32")
    (less,) = acceptances([accepted("a", slack=True)])
    assert less.startswith("accepted, but head is faster than that by as much as matters, so less can be accepted: att a")
    (same,) = acceptances([accepted("a", decision=None, outcome="same", needed=False)])
    assert "no longer needed" in same


def test_names_and_reasons_stay_text() -> None:
    hostile = "`a` | </details><img src=x> [b](javascript:c) <!-- --> @team"
    found = text(made(hostile, SLOWER), made("b", None, outcome="wrong", reasons={"head": hostile}), notes=(hostile,))
    outside = re.sub(r"```text.*?```", "", found, flags=re.DOTALL).replace(MARKER, "")
    assert "<img" not in outside
    assert "</details>" not in outside
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert len([line for line in found.splitlines() if line.strip().startswith("```")]) == 4


def test_githubs_line_for_the_top_of_a_job() -> None:
    assert annotated(RED) == "::error title=mhsa compare::slower: 1 of 6 benchmarks; not slower: 5"
    assert annotated([accepted("a")]).startswith("::notice title=mhsa compare::accepted: 1 of 1 benchmarks%0Aaccepted: att a")
    assert annotated([made("a", UNSURE)]).startswith("::warning ")
    assert annotated([made("a")]) == ""
