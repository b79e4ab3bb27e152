"""Failures: the one to look at first, then the strongest, and those that raise one exception at one line as a group."""

import re
from typing import Any

import pytest

from mhsa.records.catalogue import catalogue
from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.document.subject import PropertyRecord
from mhsa.records.power_record import recorded
from mhsa.records.results import PropertyResult
from mhsa.reports.failure_groups import Raised, common, first_and_others, grouped, observation
from mhsa.reports.html.cause import cause
from mhsa.reports.html.failure import failure
from mhsa.reports.properties_page import handbook
from mhsa.reports.sources import public_reports, without_ids

BOTH = ("float64", "float32")
SAID = "RuntimeError: shape '[1, 1, 2, 2]' is invalid (view) (/elsewhere/model.py, line 31)"


def case(**more: Any) -> dict[str, Any]:
    plain = {"dtype": "float64", "batch": 1, "head": 1, "query_length": 1, "key_length": 1, "d_k": 1, "data": "integers",
             "mask": "none", "layout": "contiguous", "tie": "none", "grad": False, "need_weights": True, "seed": 0}  # fmt: skip
    return plain | more | {"words": "B=1"}


def wrong(name: str, reason: str = "output[0]=2, but must be 1", **more: Any) -> PropertyResult:
    return PropertyResult(name, "fail", 3, reason=reason, counterexample={"message": reason, "case": case(**more)})


def raising(name: str, observed: str = SAID, shapes: str = "", **more: Any) -> PropertyResult:
    message = f"the call{shapes and ' with '}{shapes} raised {observed}"
    facts = {"message": message, "what": "call", "observed": observed, "case": case(**more)}
    return PropertyResult(name, "fail", 3, reason=message, counterexample=facts)


class TestOrder:
    def test_the_smallest_case_comes_first_and_then_the_strongest_property(self) -> None:
        strong, weak, *_ = recorded().order
        found = [wrong("oracle.output_under_masks", batch=6), wrong(weak, key_length=9), wrong(strong, key_length=9),
                 wrong("heads.each_head_alone")]  # fmt: skip
        told = [p.id for p in first_and_others(found)]
        assert told[0] == "heads.each_head_alone"
        assert told.index(strong) < told.index(weak)
        assert sorted(told) == sorted(p.id for p in found)

    def test_of_equally_small_cases_the_catalogue_decides(self) -> None:
        found = [wrong("transforms.vectorised"), wrong("oracle.returned_weights"), wrong("oracle.output_without_mask")]
        assert first_and_others(found)[0].id == "oracle.output_without_mask"

    def test_nothing_is_nothing_and_a_failure_without_a_case_is_told(self) -> None:
        assert first_and_others([]) == []
        killed = PropertyResult("purity.arguments_are_left_alone", "fail", reason="the process was killed by SIGSEGV in a call")
        assert [p.id for p in first_and_others([killed, wrong("oracle.returned_weights")])][-1] == killed.id
        assert first_and_others([killed]) == [killed]


class TestOneException:
    def test_it_is_grouped_with_what_all_its_cases_have_in_common(self) -> None:
        found = [raising(f"masks.number_{n}", mask="padding", query_length=1 + n % 2, key_length=2 - n % 2) for n in range(42)]
        (told,) = grouped(found, BOTH)
        assert isinstance(told, Raised)
        assert len(told.members) == 42
        words = "42 properties raise RuntimeError at /elsewhere/model.py:31; each smallest case has a mask and Tq != Tk"
        assert str(told) == words

    def test_other_failures_stand_beside_it(self) -> None:
        elsewhere = raising("c.c", SAID.replace("line 31", "line 7"))
        other = raising("e.e", SAID.replace("RuntimeError", "ValueError"))
        told = grouped([raising("a.a"), wrong("b.b"), elsewhere, raising("d.d"), other], BOTH)
        assert sorted(len(each.members) if isinstance(each, Raised) else 1 for each in told) == [1, 1, 1, 2]
        (group,) = [each for each in told if isinstance(each, Raised)]
        assert {p.id for p in group.members} == {"a.a", "d.d"}

    def test_what_has_no_place_is_no_group(self) -> None:
        killed = [PropertyResult(f"a.{n}", "fail", reason="the process was killed by SIGSEGV in a call") for n in range(3)]
        without = [raising(f"b.{n}", "RuntimeError: no place") for n in range(3)]
        assert not any(isinstance(each, Raised) for each in grouped([*killed, *without], BOTH))

    def test_a_place_below_the_current_folder_is_short(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        monkeypatch.chdir(tmp_path)
        observed = f"RuntimeError ({tmp_path}/model.py, line 31)"
        (told,) = grouped([raising("a.a", observed), raising("b.b", observed)], BOTH)
        assert str(told) == "2 properties raise RuntimeError at model.py:31"

    def test_a_line_on_a_single_one_says_what_it_raised(self) -> None:
        assert observation(raising("a.a", shapes="query [1, 1, 1]")) == f"raised {SAID}"
        assert observation(wrong("a.a")) == "output[0]=2, but must be 1"


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([{}, {}], ""),
        ([{"mask": "all"}, {}], ""),
        ([{"mask": "all"}, {"mask": "causal"}], "a mask"),
        ([{"mask": "fully_masked_row"}, {"mask": "fully_masked_row"}], "a mask with a fully masked row"),
        ([{"key_length": 2}, {"query_length": 2}], "Tq != Tk"),
        ([{"key_length": 2}, {"key_length": 3}], "Tq < Tk"),
        ([{"query_length": 2}, {"query_length": 3}], "Tq > Tk"),
        ([{"key_length": 2}, {}], ""),
        ([{"query_length": 2, "key_length": 2}], "several queries and keys"),
        ([{"batch": 2}, {"batch": 6, "head": 2}], "B > 1"),
        ([{"dtype": "float32"}, {"dtype": "float32"}], "float32"),
        ([{"dtype": "float32"}, {"dtype": "float64"}], ""),
        ([{"layout": "sliced"}, {"layout": "offset"}], "inputs that are not contiguous"),
        ([{"grad": True, "mask": "all", "head": 2}], "a mask, H > 1 and autograd on"),
        ([{"need_weights": False}], "weights not asked for"),
    ],
)
def test_a_condition_is_what_every_smallest_case_has(cases: list[dict[str, Any]], words: str) -> None:
    assert common([{"case": case(**each)} for each in cases], BOTH) == words


def test_a_condition_is_no_more_than_what_is_certain() -> None:
    assert common([{"case": case(dtype="float32")}], ("float32",)) == "", "nothing else was tried"
    assert common([{"case": {"words": "d_model=5, head=2"}}, {"case": case(mask="all")}], BOTH) == "", "a case of another kind"
    assert common([{}, {"case": case(mask="all")}], BOTH) == "", "a failure without a case"


def test_the_call_counts_where_a_property_has_put_another_together() -> None:
    found = raising("a.a", shapes="query [1, 1, 1], key [1, 2, 1], value [1, 2, 1], mask [1, 1, 2]")
    assert common([found.counterexample or {}], BOTH) == "a mask and Tq < Tk"


@pytest.mark.parametrize(
    ("census", "reports"),
    [
        ("lucidrains/vit-pytorch#65", "lucidrains/vit-pytorch#65"),
        ("P18", ""),
        ("A19, P22", ""),
        ("P01 (wrong projection)", ""),
        ("fla-org/flash-linear-attention PR#6, P16", "fla-org/flash-linear-attention PR#6"),
        ("pytorch/pytorch#41508, #103963", "pytorch/pytorch#41508, #103963"),
    ],
)
def test_a_known_bug_names_its_public_reports_and_nothing_else(census: str, reports: str) -> None:
    assert public_reports(census) == reports


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("P16.", ""),
        ("the chain rule; A27, P16; bound: docs/bounds.md.", "the chain rule; bound: docs/bounds.md."),
        ("P06 with P16; pytorch/pytorch#41508: a row.", "pytorch/pytorch#41508: a row."),
        ("Vaswani et al., equation 1; A16. No softmax.", "Vaswani et al., equation 1. No softmax."),
        ("A30, from the symmetry GL(d_k) of A11.", "from the symmetry GL(d_k)."),
    ],
)  # fmt: skip
def test_a_source_is_shown_without_ids_that_are_defined_nowhere(source: str, shown: str) -> None:
    assert without_ids(source) == shown


def test_no_report_for_people_has_such_an_id() -> None:
    known = catalogue()
    bug = Cause("Kept", "The mask is kept.", computes="a", must_be="b", census="a/b#42, P18")
    pages = [handbook(known), str(cause(Diagnosis("confirmed", (bug,))))]
    pages += [str(failure(PropertyRecord(p.id, "fail"), p, "a", first=True)) for p in known]
    assert [found for text in pages if (found := re.search(r"\b[AP]\d{1,2}\b", text))] == []
    assert "reported as" in pages[1]
    assert "a/b#42" in pages[1]
