"""Bugs in declared features are found under their declaration; the same features done right hold."""

from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.match import compare, finely
from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.errors import SubjectError
from mhsa.run.runner import Options, run

RIGHT = ("Causal", "CausalAtTheEnd", "Windowed", "CausalWindow", "Capped", "ScaledByWidth", "Grouped")
INFLUENCE, GRADIENT = "causality.hidden_keys_have_no_influence", "causality.hidden_keys_receive_no_gradient"
EFFECT, PREFIX = "causality.what_is_declared_has_an_effect", "causality.a_prefix_gives_the_same"
OUTPUT = "oracle.output_without_mask"
FOUND_BY = {
    "SeesTheNextKey": (INFLUENCE, GRADIENT, OUTPUT),
    "SeesNotItself": (OUTPUT,),
    "CausalForgotten": (EFFECT, PREFIX, OUTPUT),
    "AlignedAtTheBeginning": (OUTPUT,),
    "AlignedAtTheEnd": (INFLUENCE, OUTPUT),
    "CausalAfterSoftmax": (INFLUENCE, PREFIX),
    "CausalInTheFirstHead": (INFLUENCE, "heads.each_head_alone"),
    "CausalLostUnderAMask": (INFLUENCE, "oracle.output_under_masks"),
    "WindowOneTooLong": (INFLUENCE, GRADIENT),
    "WindowOneTooShort": (OUTPUT,),
    "WindowWithoutItsRight": (OUTPUT,),
    "WindowForgotten": (EFFECT,),
    "CappedAfterTheMask": ("masks.masked_weights_are_zero", "oracle.output_under_masks"),
    "CapForgotten": (EFFECT, OUTPUT),
    "CapClamps": (OUTPUT, "gradients.gradients_of_inputs"),
    "CapNotScaledBack": (OUTPUT,),
    "GroupsInterleaved": (OUTPUT, "heads.each_head_alone"),
    "GroupsOfTheirNumber": (OUTPUT,),
    "GroupsInterleavedForValues": (OUTPUT, "gradients.gradients_of_inputs"),
    "ScaledByRoot": (EFFECT, "weights.log_ratios_are_score_differences"),
}  # fmt: skip
PAIRS = sorted((name, identity) for name, identities in FOUND_BY.items() for identity in identities)


@pytest.fixture(scope="module")
def outcomes(judge_pairs) -> dict[tuple[str, str], str]:
    """Outcome of each pair."""
    specs = {m.name: m.spec for m in declared()}
    found = judge_pairs({(specs[name], identity) for name, identity in PAIRS})
    return {(spec.rpartition(":")[2], identity): outcome for (spec, identity), outcome in found.items()}


def test_each_says_what_it_computes_and_is_listed_here() -> None:
    assert {m.name for m in declared() if m.kind == "formula"} == set(FOUND_BY)
    assert all(m.summary.endswith(".") and "; must be " in m.formula and m.census for m in declared())
    assert not {m.name for m in declared()} & {m.name for m in mutants()}


def test_each_declares_what_it_does() -> None:
    from mhsa.bugs.mutants import formula

    for name in (*RIGHT, *FOUND_BY):
        contract = getattr(formula, name).mhsa_contract
        assert contract.formula != Contract().formula, name
        assert replace(contract, causal="no", window=None, softcap=None, scale=None, kv_heads=None).formula.words == ()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_it_is_found(outcomes: dict[tuple[str, str], str], pair: tuple[str, str]) -> None:
    assert outcomes[pair] == "fail"


def test_the_features_done_right_hold() -> None:
    right = tuple(f"mhsa.bugs.mutants.formula:{name}" for name in RIGHT)
    # The families that look at what a formula changes; each class holds in all of them.
    results = run(Options(right, workers=2, keyword="oracle or causality or gradients or weights or masked or dropout"))
    assert {r.subject: r.verdict for r in results} == dict.fromkeys(right, "holds")


def test_the_diagnosis_names_a_bug_of_the_declared_formula(tmp_path: Path) -> None:
    """By equal numbers; it compares with bugs of the same formula only."""
    (tmp_path / "model.py").write_text(
        "import mhsa.bugs.mutants.formula as f\nclass Mine(f.SeesTheNextKey): pass\nclass Ok(f.Causal): pass\n"
    )
    wrong, right = (understand(f"{tmp_path / 'model.py'}:{name}", dtypes=("float64",)) for name in ("Mine", "Ok"))
    assert [match.name for match in compare(finely(wrong)).matches] == ["SeesTheNextKey"]
    assert compare(finely(right)).wrong == 0
    with pytest.raises(SubjectError, match='not under kv_heads = "grouped"'):
        compare(understand("mhsa.bugs.mutants.formula:Grouped", dtypes=("float64",)))
