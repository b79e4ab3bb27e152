"""The measured power: its figures add up, its page is the one in docs, and the other tools can tell right from wrong."""

import json
from pathlib import Path

import pytest

from mhsa.bugs.mutants.registry import mutants, right
from mhsa.bugs.power.evaluate import evaluate, greedy
from mhsa.bugs.power.report import page
from mhsa.records.catalogue import DECLARED, catalogue
from mhsa.records.power_record import Kill, Power, recorded, save
from mhsa.records.results import PropertyResult, SubjectResult
from tests.helpers.places import ROOT


def test_the_page_in_docs_is_the_recorded_measurement() -> None:
    assert (ROOT / "docs" / "power.md").read_text() == page(recorded())


def test_everything_is_killed_and_nobody_accused() -> None:
    assert recorded().survivors == []
    assert recorded().alarms == {}
    assert recorded().right == len(right()) >= 20


def test_no_other_tool_finds_what_mhsa_does_and_none_has_a_false_alarm() -> None:
    assert set(recorded().other_tools) == {"allclose", "allclose, mask, gradients", "gradcheck", "pytest-torch"}
    for tool in recorded().other_tools.values():
        assert 0 < len(tool.found) < len(recorded().mutants)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    save(recorded(), tmp_path / "power.json")
    again = json.loads((tmp_path / "power.json").read_text())
    assert again == json.loads((ROOT / "mhsa" / "records" / "power.json").read_text())


def synthetic(kills: dict[str, set[str]]) -> list[SubjectResult]:
    """One result for each subject: every property took a tenth of a second, and those in ``kills`` failed."""
    return [
        SubjectResult(
            subject,
            properties=[PropertyResult(p.id, "fail" if p.id in failed else "pass", cases=2, seconds=0.1) for p in catalogue()],
        )
        for subject, failed in kills.items()
    ]


def test_the_order_is_greedy() -> None:
    first, second, third, *_ = (p.id for p in catalogue())
    kills = {"a": {first, second}, "b": {first, second}, "c": {second, third}, "d": {first}, "e": {second}}
    costs = {p.id: 1.0 for p in catalogue()}
    assert greedy(synthetic(kills), costs)[:3] == [second, first, third]
    assert greedy(synthetic(kills), costs | {second: 9.0})[:2] == [first, third]


def test_a_survivor_and_an_alarm_are_seen() -> None:
    identity = catalogue()[0].id
    results = synthetic({m.spec: {identity} for m in mutants()[1:]} | {spec: set() for spec in right()[1:]})
    results += synthetic({mutants()[0].spec: set(), right()[0]: {identity}})
    power = evaluate(results, [], {}, 1.0)
    assert power.survivors == [mutants()[0].name]
    assert power.alarms == {right()[0]: "violated"}
    assert power.mutants[mutants()[1].name].first == identity
    assert power.mutants[mutants()[1].name].cases == 2
    assert "SURVIVES" in page(power)


def test_what_is_killed_elsewhere_is_no_survivor() -> None:
    kills = {"A": Kill((), "", 10, 1.0, ("transforms.compiled",)), "B": Kill((), "", 10, 1.0)}
    assert Power((), {}, kills, {}, 0, 1.0).survivors == ["B"]


@pytest.mark.parametrize(
    ("tool", "bug"),
    [
        ("allclose", "scale:NotScaled"),
        ("allclose, mask, gradients", "masks.skipped:MaskIgnored"),
        ("allclose, mask, gradients", "gradients:ValueGradientDoubled"),
        ("gradcheck", "gradients:KeyDetached"),
        ("pytest-torch", "projections:BatchCentred"),
    ],
)
def test_a_tool_tells_right_from_wrong(tool: str, bug: str) -> None:
    from mhsa.bugs.power.baselines import tools_that_fail
    from mhsa.introspect.load import load

    assert tools_that_fail(load(f"mhsa.bugs.mutants.{bug}"), [tool]) == [tool]
    assert tools_that_fail(load("mhsa.bugs.mutants.right:AsItIs"), [tool]) == []


def test_the_recorded_figures_are_shown(mhsa) -> None:
    done = mhsa("power", "--recorded", "--no-color")
    assert done.returncode == 0
    assert f"{len(mutants())} of {len(mutants())} (100 %)" in done.stdout
    assert "pytest-torch" in done.stdout
    # Properties of declared features have known bugs of their own: tests/bugs/test_declared_mutants.py.
    assert all(p.id in done.stdout for p in catalogue() if p.family not in DECLARED)


def test_one_mutant_is_measured_at_once(mhsa) -> None:
    done = mhsa("power", "MapsOfQueryAndKeyExchanged", "-n", 1)
    assert done.returncode == 0, done.stderr
    assert "MapsOfQueryAndKeyExchanged  Queries go through the map of the keys" in done.stdout
    assert "oracle.output_without_mask" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["NotScald"], "no mutant has 'NotScald' in its name; did you mean NotScaled?"),
        (["NotScaled", "--json", "o.json"], "--json writes a whole measurement; give no NAME with it"),
        (["NotScaled", "--recorded"], "--recorded shows a whole measurement; give no NAME with it"),
        (["--recorded", "--markdown", "no/such/o.md"], "there is no folder"),
        (["-n", "two"], "'two' is not a whole number"),
    ],
)
def test_what_cannot_be_done_exits_2_with_one_clear_message(mhsa, arguments: list[str], words: str) -> None:
    done = mhsa("power", *arguments)
    assert done.returncode == 2
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
