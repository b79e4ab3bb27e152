"""Bugs of a log-sum-exp that is returned are found and named; the right ones hold, declared or not."""

from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import Pair, first_pairs, further_pairs, named, outcomes_of
from tests.helpers.model_file import model_file

SCORES, LN_2, MERGE = "lse.it_is_that_of_the_scores", "lse.twice_the_keys_add_ln_2", "lse.parts_merge_to_the_whole"
BACK = "lse.gradient_of_the_log_sum_exp"
FOUND_BY = {
    "LseToBase2": (SCORES, LN_2, MERGE),
    "NaturalLse": (SCORES, LN_2, MERGE),
    "LseOfAllKeys": (SCORES,),
    "LseWithoutTheMaximum": (SCORES, MERGE),
    "MaximumForTheLse": (SCORES, LN_2, MERGE),
    "LseUnscaled": (SCORES, MERGE),
    "LseOfTheMean": (SCORES, LN_2, MERGE),
    "LseOfTheFirstHead": (SCORES, MERGE),
    "LseGradientDropped": (BACK,),
    "LseGradientDroppedUnderAMask": (BACK,),
    "LseGradientAddedToTheRowSum": (BACK,),
    "LseGradientAsOfTheNaturalOne": (BACK,),
}
OURS = [m for m in declared() if m.kind == "declared.lse"]
PAIRS, MORE_PAIRS = first_pairs(FOUND_BY), further_pairs(FOUND_BY)
FUNCTIONS = """
import torch


def flash(q, k, v, mask=None):
    s = q @ k.mT * q.shape[-1] ** -0.5
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    lse = s.logsumexp(-1)
    return (s - lse[..., None]).exp() @ v, lse


def shifted(q, k, v, mask=None):
    output, lse = flash(q, k, v, mask)
    return output, lse - 1.0


def after_time(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    output, lse = flash(q, k, v)
    return {"out": output.transpose(1, 2), "lse": lse / torch.log(torch.tensor(2.0, dtype=lse.dtype))}


def alone(q, k, v):
    return flash(q, k, v)[0]
"""


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, judge_pairs) -> dict[Pair, str]:
    """Outcome of each pair."""
    return outcomes_of(request, judge_pairs, OURS, FOUND_BY)


file = model_file(FUNCTIONS, "kernels.py")


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
    right = tuple(f"mhsa.bugs.mutants.declared.lse:{name}" for name in ("ReturnsLse", "ReturnsLseToBase2"))
    results = run(Options(tuple(map(Request.of, right)), keyword="lse or oracle or purity or edges"))
    assert {r.subject: r.verdict for r in results} == dict.fromkeys(right, "holds")


@pytest.mark.parametrize("name", FOUND_BY)
def test_the_diagnosis_names_it(name: str) -> None:
    (mutant,) = (m for m in OURS if m.name == name)
    assert [match.name for match in compare(finely(understand(mutant.spec, dtypes=("float64",)))).matches] == [name]


def test_the_diagnosis_finds_nothing_in_a_right_one() -> None:
    assert compare(finely(understand("mhsa.bugs.mutants.declared.lse:ReturnsLse", dtypes=("float64",)))).wrong == 0


@pytest.mark.parametrize(
    ("name", "kind", "form"),
    [("flash", "natural", ("B", "H", "Tq")), ("after_time", "base-2", ("B", "H", "Tq")), ("alone", None, ())],
)
def test_an_exact_one_is_read(file: Path, name: str, kind: str | None, form: tuple[str, ...]) -> None:
    subject = understand(Request("a", f"{file}:{name}"))
    assert (subject.contract.lse, subject.caller.lse_form) == (kind, form)
    assert not any("returned" in words for words in subject.not_judged)


def test_one_that_is_not_exact_is_not_judged_unless_it_is_declared(file: Path) -> None:
    """The output next to it holds; a wrong logarithm is never taken for judged."""
    subject = understand(Request("a", f"{file}:shifted"))
    assert any("value 2 of 2 returned" in words for words in subject.not_judged)
    (result,) = run(Options((Request("a", f"{file}:shifted", contract={"lse": "natural"}),), keyword="lse"))
    assert result.verdict == "violated"


def test_one_that_is_declared_must_be_there(file: Path) -> None:
    with pytest.raises(Question, match=r'lse = "natural" is declared, but applies to nothing'):
        understand(Request("a", f"{file}:alone", contract={"lse": "natural"}))
