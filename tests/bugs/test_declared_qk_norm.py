"""Bugs of normalised queries and keys are found under their declaration and named; the right ones hold."""

import importlib

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import FAMILIES, Pair, first_pairs, further_pairs, named, outcomes_of

OUTPUT, ALONE, PARAMETERS = "oracle.output_without_mask", "heads.each_head_alone", "gradients.gradients_of_parameters"
LENGTHS, BOUNDED, SIDES, ZERO = (
    f"qk_norm.{name}"
    for name in ("lengths_do_not_matter", "scores_are_bounded", "gains_belong_to_one_side_each", "a_gain_of_zero_averages")
)
RIGHT = ("NormedRms", "NormedLayer", "NormedLength", "NormedTogether", "NormedThenRotated")
FOUND_BY = {
    "NormForgotten": (OUTPUT, LENGTHS, BOUNDED),
    "KeysNotNormed": (OUTPUT, LENGTHS, BOUNDED, SIDES),
    "NormedOverAllHeads": (OUTPUT, LENGTHS, ALONE),
    "NormedHeadByHead": (OUTPUT, PARAMETERS),
    "SumForTheMean": (OUTPUT, ALONE),
    "EpsilonOutsideTheRoot": (OUTPUT,),
    "GainOfTheQueryForBoth": (OUTPUT, SIDES),
    "GainIgnored": (OUTPUT, ZERO),
    "NormWithoutGradient": (PARAMETERS, "gradients.gradients_of_inputs"),
    "ValuesNormed": (OUTPUT, ALONE),
    "MeanLeftIn": (OUTPUT,),
    "VarianceOfASample": (OUTPUT,),
    "LengthSquared": (OUTPUT, LENGTHS),
    "RotatedThenNormed": (OUTPUT,),
    "NormedOverSamples": (OUTPUT, BOUNDED),
}
OURS = [m for m in declared() if m.kind == "qk_norm"]
PAIRS, MORE_PAIRS = first_pairs(FOUND_BY), further_pairs(FOUND_BY)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, judge_pairs) -> dict[Pair, str]:
    """Outcome of each pair."""
    return outcomes_of(request, judge_pairs, OURS, FOUND_BY)


def test_each_says_what_it_computes_and_is_listed_here() -> None:
    assert {m.name for m in OURS} == set(FOUND_BY)
    assert all(m.summary.endswith(".") and "; must be " in m.formula and m.census for m in OURS)
    assert not {m.name for m in OURS} & {m.name for m in mutants()}
    module = importlib.import_module("mhsa.bugs.mutants.qk_norm")
    assert all(getattr(module, name).mhsa_contract.formula != Contract().formula for name in (*FOUND_BY, *RIGHT))


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_it_is_found(outcomes: dict[Pair, str], pair: Pair) -> None:
    assert outcomes[pair] == "fail"


@pytest.mark.parametrize("another", MORE_PAIRS, ids=named)
def test_another_property_finds_it(outcomes: dict[Pair, str], another: Pair) -> None:
    assert outcomes[another] == "fail"


@pytest.mark.parametrize("name", RIGHT)
def test_the_feature_done_right_holds(name: str) -> None:
    (result,) = run(Options((Request.of(f"mhsa.bugs.mutants.qk_norm:{name}"),), keyword=FAMILIES))
    assert result.verdict == "holds"


@pytest.mark.parametrize("name", FOUND_BY)
def test_the_diagnosis_names_it(name: str) -> None:
    """By equal numbers, among the bugs of the same formula."""
    (mutant,) = (m for m in OURS if m.name == name)
    found = compare(finely(understand(mutant.spec, dtypes=("float64",))))
    assert [match.name for match in found.matches] == [name]


@pytest.mark.parametrize("name", RIGHT)
def test_the_diagnosis_finds_nothing_in_the_right_ones(name: str) -> None:
    assert compare(finely(understand(f"mhsa.bugs.mutants.qk_norm:{name}", dtypes=("float64",)))).wrong == 0
