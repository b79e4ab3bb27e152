"""The known bugs: each is found, each property finds one, and variants that are right are left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from mhsa.bugs.mutants.registry import KINDS, mutants, right
from mhsa.records.catalogue import DECLARED, catalogue, is_slow
from mhsa.records.power_record import recorded
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.helpers.more import chosen

MUTANTS = mutants()
# For each mutant the property that found it first, and for each property the first mutant that it found.
PAIRS = {(m.name, recorded().mutants[m.name].first) for m in MUTANTS if not m.killed_in}
FOUND_BY = {p.id: [m.name for m in MUTANTS if p.id in recorded().mutants[m.name].kills] for p in catalogue()}
PAIRS |= {(names[0], identity) for identity, names in FOUND_BY.items() if names}
# What quick leaves out, or finds in another dtype, and who finds it there.
ELSEWHERE = {
    "ForwardModeDoubled": "gradients.derivatives_in_both_directions_agree",
    "MetaForgotten": "transforms.on_meta_tensors",
    "HalfOverflows": "numbers.huge_scores_stay_finite",
}

# What quick finds by one property, and other profiles by another one as well.
ELSEWHERE_TOO = {"SecondDerivativeLost": "gradients.second_derivatives", "OtherInGraphs": "transforms.compiled"}
SLOW = ELSEWHERE | ELSEWHERE_TOO


@pytest.fixture(scope="module")
def outcomes(judge_pairs, request: pytest.FixtureRequest) -> dict[tuple[str, str], str]:
    """Outcome of each pair."""
    specs = {m.name: m.spec for m in MUTANTS}
    pairs = {
        *chosen(request, "pair", sorted(PAIRS)),
        *((name, SLOW[name]) for name in chosen(request, "name", list(SLOW))),
    }
    wanted = {(specs[name], identity) for name, identity in pairs}
    names = {spec: name for name, spec in specs.items()}
    found = judge_pairs(wanted)
    return {(names[spec], identity): outcome for (spec, identity), outcome in found.items()}


def test_each_has_a_name_a_sentence_a_formula_and_a_reference() -> None:
    assert len(MUTANTS) >= 120
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    assert {m.kind for m in MUTANTS} == set(KINDS)
    for m in MUTANTS:
        assert m.summary.endswith(".")
        assert "; must be " in m.formula or "; must " in m.formula, m.name
        assert m.census, m.name


def test_the_record_knows_all_of_them() -> None:
    assert set(recorded().mutants) == {m.name for m in MUTANTS}


def test_what_quick_does_not_kill_says_who_does() -> None:
    assert {name for name, kill in recorded().mutants.items() if not kill.kills} == set(ELSEWHERE)
    assert {m.name for m in MUTANTS if m.killed_in} == set(ELSEWHERE)


@pytest.mark.parametrize("pair", sorted(PAIRS), ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_it_is_found(outcomes: dict[tuple[str, str], str], pair: tuple[str, str]) -> None:
    assert outcomes[pair] == "fail"


@pytest.mark.parametrize("name", [n for n in SLOW if n != "HalfOverflows"])
def test_it_is_found_by_a_property_that_quick_leaves_out(outcomes: dict[tuple[str, str], str], name: str) -> None:
    assert outcomes[name, SLOW[name]] == "fail"


def test_what_only_half_formats_show_is_found_in_float16() -> None:
    (mutant,) = (m for m in MUTANTS if m.name == "HalfOverflows")
    (result,) = run(Options((Request.of(mutant.spec, dtypes=("float16",)),), keyword=ELSEWHERE["HalfOverflows"]))
    assert result.verdict == "violated"


def test_every_property_kills_a_mutant() -> None:
    killing = (
        {identity for identity, names in FOUND_BY.items() if names} | set(SLOW.values()) | {"transforms.exported"}
    )  # as compiled
    killing.add("transforms.exported")  # in tests/properties/test_no_vacuous_property.py, next to transforms.compiled
    killing.add("mask_forms.each_head_has_its_own_mask")  # there, too: masks of these mutants have no axis of heads
    killing.add("half_formats.later_keys_stay_hidden")  # in tests/bugs/test_declared_mutants.py: it is about causality
    declared = {p.id for p in catalogue() if p.family in DECLARED}  # in tests/bugs/test_declared_mutants.py
    assert killing | declared == {p.id for p in catalogue()}


@pytest.mark.parametrize("part", [0, 1])  # two, for two processes; each part is judged in one run
def test_right_variants_are_left_alone(part: int, judge_pairs) -> None:
    """Each by every second property, so that every property judges half of them; ``make power`` judges all by all."""
    assert len(right()) >= 20
    assert not recorded().alarms
    variants = tuple(right())[part::2]
    properties = [p.id for p in catalogue() if not is_slow(p.id)]
    wanted = {(v, p) for n, v in enumerate(variants) for m, p in enumerate(properties) if (n + m) % 2 == 0}
    found = judge_pairs(wanted)
    assert found.keys() == wanted
    assert {pair: outcome for pair, outcome in found.items() if outcome not in ("pass", "not-applicable")} == {}
    assert sum(outcome == "pass" for outcome in found.values()) > len(wanted) / 2


def test_the_list_needs_no_torch() -> None:
    code = "import sys, mhsa.bugs.mutants.registry as r; r.mutants(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path.cwd()).returncode == 0
