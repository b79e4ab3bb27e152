"""Bugs in declared features are found under their declaration; the same features done right hold."""

import importlib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.formula import Formula
from mhsa.records.contract import Contract
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import FAMILIES, Pair, first_pairs, further_pairs, named, outcomes_of

RIGHT = (
    "right_formula:Causal", "right_formula:CausalAtTheEnd", "right_formula:Windowed", "right_formula:CausalWindow",
    "right_formula:Capped", "right_formula:ScaledByWidth", "right_formula:Grouped", "rotary:RotaryHalf",
    "rotary:RotaryInterleaved", "rotary:RotaryPartial",
)  # fmt: skip
INFLUENCE, GRADIENT = "causality.hidden_keys_have_no_influence", "causality.hidden_keys_receive_no_gradient"
EFFECT, PREFIX = "causality.what_is_declared_has_an_effect", "causality.a_prefix_gives_the_same"
OUTPUT, REPEATED = "oracle.output_without_mask", "groups.groups_are_repeated_heads"
DISTANCES = "rotary.only_distances_matter"
FOUND_BY = {
    "SeesTheNextKey": (INFLUENCE, GRADIENT, OUTPUT),
    "SeesNotItself": (OUTPUT,),
    "SeesLaterKeysOnly": (INFLUENCE, OUTPUT),
    "CausalForgotten": (EFFECT, PREFIX, OUTPUT),
    "PlacesInTheDtypeOfTheData": ("half_formats.later_keys_stay_hidden",),
    "AlignedAtTheBeginning": (OUTPUT,),
    "AlignedAtTheEnd": (INFLUENCE, OUTPUT),
    "CausalAfterSoftmax": (INFLUENCE, PREFIX),
    "CausalInTheFirstHead": (INFLUENCE, "heads.each_head_alone"),
    "CausalLostUnderAMask": (INFLUENCE, "oracle.output_under_masks"),
    "WindowOneTooLong": (INFLUENCE, GRADIENT),
    "WindowOneTooShort": (OUTPUT,),
    "WindowWithoutItsRight": (OUTPUT,),
    "WindowForgotten": (EFFECT,),
    "WindowFromTheFirstKey": (OUTPUT,),
    "ScaledAfterTheCap": (OUTPUT,),
    "CappedAfterTheMask": ("masks.masked_weights_are_zero", "oracle.output_under_masks"),
    "CapForgotten": (EFFECT, OUTPUT),
    "CapClamps": (OUTPUT, "gradients.gradients_of_inputs"),
    "CapNotScaledBack": (OUTPUT,),
    "GroupsInterleaved": (OUTPUT, "heads.each_head_alone", REPEATED),
    "GroupsOfTheirNumber": (OUTPUT, REPEATED),
    "GroupTrainedByOneHead": ("groups.gradients_of_a_group_are_summed", "gradients.gradients_of_inputs"),
    "GroupsInterleavedForValues": (OUTPUT, "gradients.gradients_of_inputs"),
    "PairsInterleaved": (OUTPUT,),
    "PairsInHalves": (OUTPUT,),
    "RotatedTheOtherWay": (OUTPUT, DISTANCES),
    "KeysRotatedTheOtherWay": (OUTPUT, DISTANCES),
    "AnglesNegated": (OUTPUT,),
    "OneSideOfARotation": (OUTPUT, DISTANCES, "rotary.a_token_is_most_like_itself"),
    "KeysNotRotated": (OUTPUT, DISTANCES),
    "KeysOnePlaceFurther": (OUTPUT,),
    "ValuesRotated": (OUTPUT, DISTANCES),
    "OffsetForgottenForKeys": (OUTPUT, "rotary.a_token_is_most_like_itself"),
    "QueriesFromZero": (OUTPUT,),
    "FrequenciesOfTheWholeHead": (OUTPUT,),
    "FrequenciesOfTheModel": (OUTPUT,),
    "OtherBase": (OUTPUT, "gradients.gradients_of_inputs"),
    "RotaryForgotten": (EFFECT, OUTPUT),
    "TablesInTheDtypeOfTheData": ("rotary.far_places_in_half_formats",),
    "ScaledByRoot": (EFFECT, "weights.log_ratios_are_score_differences"),
}  # fmt: skip
PAIRS, MORE_PAIRS = first_pairs(FOUND_BY), further_pairs(FOUND_BY)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, judge_pairs) -> dict[Pair, str]:
    """Outcome of each pair."""
    return outcomes_of(request, judge_pairs, declared(), FOUND_BY)


def test_each_says_what_it_computes_and_is_listed_here() -> None:
    here = {m.name for m in declared() if m.kind in ("formula", "rotary")}  # the others: test_declared_*.py
    assert here == set(FOUND_BY)
    assert all(m.summary.endswith(".") and "; must be " in m.formula and m.census for m in declared())
    assert not {m.name for m in declared()} & {m.name for m in mutants()}


def test_each_declares_what_it_does() -> None:
    plain = {f.name: f.default for f in fields(Formula)}
    for path in (*RIGHT, *(f"{m.kind}:{m.name}" for m in declared())):
        module, _, name = path.partition(":")
        contract = getattr(importlib.import_module(f"mhsa.bugs.mutants.{module}"), name).mhsa_contract
        assert contract.formula != Contract().formula, name
        assert replace(contract, **plain).formula.words == ()


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_it_is_found(outcomes: dict[Pair, str], pair: Pair) -> None:
    assert outcomes[pair] == "fail"


@pytest.mark.parametrize("another", MORE_PAIRS, ids=named)
def test_another_property_finds_it(outcomes: dict[Pair, str], another: Pair) -> None:
    assert outcomes[another] == "fail"


@pytest.mark.parametrize("name", RIGHT)
def test_the_feature_done_right_holds(name: str) -> None:
    (result,) = run(Options((Request.of(f"mhsa.bugs.mutants.{name}"),), keyword=FAMILIES))
    assert result.verdict == "holds"


def test_the_diagnosis_names_a_bug_of_the_declared_formula(tmp_path: Path) -> None:
    """By equal numbers; it compares with bugs of the same formula only."""
    (tmp_path / "model.py").write_text(
        "import mhsa.bugs.mutants.formula as f\nclass Mine(f.SeesTheNextKey): pass\nclass Ok(f.Causal): pass\n"
    )
    wrong, right = (understand(f"{tmp_path / 'model.py'}:{name}", dtypes=("float64",)) for name in ("Mine", "Ok"))
    assert [match.name for match in compare(finely(wrong)).matches] == ["SeesTheNextKey"]
    assert compare(finely(right)).wrong == 0


@pytest.mark.parametrize(
    "name",
    ["PairsInterleaved", "RotatedTheOtherWay", "KeysNotRotated", "ValuesRotated", "QueriesFromZero", "OtherBase"],
)
def test_the_diagnosis_names_a_bug_of_rotary_positions(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.py").write_text(f"import mhsa.bugs.mutants.rotary as f\nclass Mine(f.{name}): pass\n")
    found = compare(finely(understand(f"{tmp_path / 'model.py'}:Mine", dtypes=("float64",))))
    assert [match.name for match in found.matches] == [name]


@pytest.mark.parametrize("name", ["GroupsInterleaved", "GroupsOfTheirNumber", "GroupTrainedByOneHead"])
def test_the_diagnosis_names_a_bug_of_shared_heads(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.py").write_text(f"import mhsa.bugs.mutants.formula as f\nclass Mine(f.{name}): pass\n")
    found = compare(finely(understand(f"{tmp_path / 'model.py'}:Mine", dtypes=("float64",))))
    assert [match.name for match in found.matches] == [name]
