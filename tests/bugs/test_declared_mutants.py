"""Bugs in declared features are found under their declaration; the same features done right hold."""

from dataclasses import replace

import pytest

from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.records.contract import Contract
from mhsa.run.runner import Options, run

RIGHT = ("Causal", "CausalAtTheEnd", "Windowed", "CausalWindow", "Capped", "ScaledByWidth")
FAMILY = "causality"
FOUND_BY = {
    "SeesTheNextKey": (f"{FAMILY}.hidden_keys_have_no_influence", f"{FAMILY}.hidden_keys_receive_no_gradient", "oracle.output_without_mask"),
    "SeesNotItself": ("oracle.output_without_mask",),
    "CausalForgotten": (f"{FAMILY}.what_is_declared_has_an_effect", f"{FAMILY}.a_prefix_gives_the_same", "oracle.output_without_mask"),
    "AlignedAtTheBeginning": ("oracle.output_without_mask",),
    "AlignedAtTheEnd": (f"{FAMILY}.hidden_keys_have_no_influence", "oracle.output_without_mask"),
    "CausalAfterSoftmax": (f"{FAMILY}.hidden_keys_have_no_influence", f"{FAMILY}.a_prefix_gives_the_same"),
    "CausalInTheFirstHead": (f"{FAMILY}.hidden_keys_have_no_influence", "heads.each_head_alone"),
    "CausalLostUnderAMask": (f"{FAMILY}.hidden_keys_have_no_influence", "oracle.output_under_masks"),
    "WindowOneTooLong": (f"{FAMILY}.hidden_keys_have_no_influence", f"{FAMILY}.hidden_keys_receive_no_gradient"),
    "WindowOneTooShort": ("oracle.output_without_mask",),
    "WindowWithoutItsRight": ("oracle.output_without_mask",),
    "WindowForgotten": (f"{FAMILY}.what_is_declared_has_an_effect",),
    "CappedAfterTheMask": ("masks.masked_weights_are_zero", "oracle.output_under_masks"),
    "CapForgotten": (f"{FAMILY}.what_is_declared_has_an_effect", "oracle.output_without_mask"),
    "CapClamps": ("oracle.output_without_mask", "gradients.gradients_of_inputs"),
    "CapNotScaledBack": ("oracle.output_without_mask",),
    "ScaledByRoot": (f"{FAMILY}.what_is_declared_has_an_effect", "weights.log_ratios_are_score_differences"),
}  # fmt: skip
PAIRS = sorted((name, identity) for name, identities in FOUND_BY.items() for identity in identities)


@pytest.fixture(scope="module")
def outcomes(judge_pairs) -> dict[tuple[str, str], str]:
    """Outcome of each pair."""
    specs = {m.name: m.spec for m in declared()}
    found = judge_pairs({(specs[name], identity) for name, identity in PAIRS})
    return {(spec.rpartition(":")[2], identity): outcome for (spec, identity), outcome in found.items()}


def test_each_says_what_it_computes_and_is_listed_here() -> None:
    assert {m.name for m in declared()} == set(FOUND_BY)
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
    assert {r.subject: r.verdict for r in run(Options(right, workers=2))} == dict.fromkeys(right, "holds")
