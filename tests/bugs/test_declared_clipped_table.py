"""Bugs of a table of clipped distances are found and named; the right ones hold."""

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import Pair, first_pairs, further_pairs, named, outcomes_of

OUTPUT, ALONE = "oracle.output_without_mask", "heads.each_head_alone"
AFTERWARDS, ALONE_TRAINED = "modes.gradients_after_calls_without_them", "frozen.gradients_where_nothing_else_needs_one"
FOUND_BY = {
    "ClippedOneTooNear": (OUTPUT,),
    "DistancesWrapAround": (OUTPUT,),
    "OrderOfTheTableReversed": (OUTPUT, ALONE),
    "LaterKeysHaveTheirDistance": (OUTPUT, ALONE),
    "ClippedFromTheFirstQuery": (OUTPUT,),
    "KeptBiasGetsNoGradient": (AFTERWARDS, ALONE_TRAINED),
}
RIGHT = ("Clipped", "ClippedPast")
OURS = [m for m in declared() if m.kind == "declared.clipped_table"]
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
    right = tuple(f"mhsa.bugs.mutants.declared.clipped_table:{name}" for name in RIGHT)
    results = run(Options(tuple(map(Request.of, right)), keyword="oracle or biases or gradients or heads or algebra"))
    assert {r.subject: r.verdict for r in results} == dict.fromkeys(right, "holds")


@pytest.mark.parametrize("name", FOUND_BY)
def test_the_diagnosis_names_it(name: str) -> None:
    (mutant,) = (m for m in OURS if m.name == name)
    assert [match.name for match in compare(finely(understand(mutant.spec, dtypes=("float64",)))).matches] == [name]


@pytest.mark.parametrize("name", RIGHT)
def test_the_diagnosis_finds_nothing_in_a_right_one(name: str) -> None:
    assert compare(finely(understand(f"mhsa.bugs.mutants.declared.clipped_table:{name}", dtypes=("float64",)))).wrong == 0
