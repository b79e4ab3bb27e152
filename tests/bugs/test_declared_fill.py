"""Bugs of a declared fill are found; what hides masked keys by the declared number holds."""

import pytest

from mhsa.bugs.mutants.registry import declared
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import Pair, first_pairs, further_pairs, named, outcomes_of

NUMBER, ROW = "fills.the_number_is_the_declared_one", "fully_masked_rows.one_fully_masked_row"
BELOW, MASKED = "masks.masked_keys_stay_masked_below_every_score", "oracle.output_under_masks"
FOUND_BY = {
    "AnotherFill": (NUMBER,),
    "FillIsAdded": (NUMBER, ROW, BELOW),
    "FillIsSet": (NUMBER, ROW, BELOW),
    "FillInTheFirstHead": (MASKED, NUMBER),
}
OURS = [m for m in declared() if m.kind == "declared.fill"]
PAIRS, MORE_PAIRS = first_pairs(FOUND_BY), further_pairs(FOUND_BY)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, judge_pairs) -> dict[Pair, str]:
    """Outcome of each pair."""
    return outcomes_of(request, judge_pairs, OURS, FOUND_BY)


def test_each_is_listed_here() -> None:
    assert {m.name for m in OURS} == set(FOUND_BY)
    assert all(m.summary.endswith(".") and "; must be " in m.formula and m.census for m in OURS)


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_it_is_found(outcomes: dict[Pair, str], pair: Pair) -> None:
    assert outcomes[pair] == "fail"


@pytest.mark.parametrize("another", MORE_PAIRS, ids=named)
def test_another_property_finds_it(outcomes: dict[Pair, str], another: Pair) -> None:
    assert outcomes[another] == "fail"


def test_the_right_ones_hold() -> None:
    right = tuple(f"mhsa.bugs.mutants.declared.fill:{name}" for name in ("FillSet", "FillAdded"))
    results = run(Options(tuple(map(Request.of, right)), keyword="masked or masks or oracle or long_query"))
    assert {r.subject: r.verdict for r in results} == dict.fromkeys(right, "holds")
