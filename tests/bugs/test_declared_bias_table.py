"""Bugs of a learned table of biases are found and named; the right ones hold, and a module in T5's style is read."""

from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from tests.bugs.declared_bugs import Pair, first_pairs, further_pairs, named, outcomes_of
from tests.helpers.model_file import model_file

OUTPUT, ALONE, DISTANCE = "oracle.output_without_mask", "heads.each_head_alone", "biases.weights_depend_on_the_distance"
OWN, SHIFT = "biases.biases_of_a_head_are_its_own", "biases.a_number_for_all_buckets_changes_nothing"
PARAMETERS, EFFECT = "gradients.gradients_of_parameters", "causality.what_is_declared_has_an_effect"
FOUND_BY = {
    "DirectionsExchanged": (OUTPUT, ALONE),
    "OneDirectionForBoth": (OUTPUT,),
    "BothDirectionsForOne": (OUTPUT,),
    "FarDistancesClamped": (OUTPUT,),
    "OtherLargestDistance": (OUTPUT,),
    "TableScaled": (OUTPUT,),
    "TableOfTheFirstHead": (OUTPUT, ALONE, OWN),
    "TableGetsNoGradient": (PARAMETERS,),
    "TableForgotten": (OUTPUT, EFFECT),
    "DistanceFromTheFirstQuery": (OUTPUT,),
    "TableAfterSoftmax": (OUTPUT, SHIFT),
    "PlacesForDistances": (OUTPUT, DISTANCE),
}
OURS = [m for m in declared() if m.kind == "declared.bias_table"]
PAIRS, MORE_PAIRS = first_pairs(FOUND_BY), further_pairs(FOUND_BY)
MODELS = """
import math

import torch
from torch import nn


class T5Attention(nn.Module):
    def __init__(self, d_model, num_heads, num_buckets=32, max_distance=128):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        self.n_heads, self.num_buckets, self.max_distance = num_heads, num_buckets, max_distance
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.relative_attention_bias = nn.Embedding(num_buckets, num_heads)

    def bucket(self, later):
        count = self.num_buckets // 2
        first, later = (later > 0).long() * count, later.abs()
        exact = count // 2
        share = torch.log(later.clamp_min(1).float() / exact) / math.log(self.max_distance / exact) * (count - exact)
        return first + torch.where(later < exact, later, (exact + share.long()).clamp_max(count - 1))

    def forward(self, hidden_states, mask=None):
        q, k, v = (f(hidden_states).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        place = torch.arange(hidden_states.shape[1])
        bias = self.relative_attention_bias(self.bucket(place - place[:, None])).permute(2, 0, 1)
        scores = q @ k.mT + bias
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Turned(T5Attention):
    def bucket(self, later):
        return super().bucket(-later)


class NoTable(T5Attention):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        del self.relative_attention_bias

    def relative_attention_bias(self, bucket):
        return 0.1 * bucket[..., None].expand(*bucket.shape, self.n_heads)


class OfAnotherName(NoTable):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.nearness = nn.Parameter(torch.randn(32, num_heads))

    def relative_attention_bias(self, bucket):
        return self.nearness[bucket]


class TurnedOfAnotherName(OfAnotherName):
    def bucket(self, later):
        return super().bucket(-later)
"""
T5 = {"bias": "table", "scale": 1.0}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, judge_pairs) -> dict[Pair, str]:
    """Outcome of each pair."""
    return outcomes_of(request, judge_pairs, OURS, FOUND_BY)


file = model_file(MODELS, "tables.py")


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
    right = tuple(f"mhsa.bugs.mutants.declared.bias_table:{name}" for name in ("Bucketed", "BucketedPast"))
    results = run(Options(tuple(map(Request.of, right)), keyword="oracle or biases or gradients or heads or algebra"))
    assert {r.subject: r.verdict for r in results} == dict.fromkeys(right, "holds")


@pytest.mark.parametrize("name", FOUND_BY)
def test_the_diagnosis_names_it(name: str) -> None:
    (mutant,) = (m for m in OURS if m.name == name)
    assert [match.name for match in compare(finely(understand(mutant.spec, dtypes=("float64",)))).matches] == [name]


@pytest.mark.parametrize("name", ["Bucketed", "BucketedPast"])
def test_the_diagnosis_finds_nothing_in_a_right_one(name: str) -> None:
    assert compare(finely(understand(f"mhsa.bugs.mutants.declared.bias_table:{name}", dtypes=("float64",)))).wrong == 0


def test_a_module_in_the_usual_style_is_exact_under_two_lines(file: Path) -> None:
    subject = understand(Request("a", f"{file}:T5Attention", contract=T5))
    assert Fit().without_mask(subject)
    assert "biases of distances from relative_attention_bias.weight" in dict(subject.notes)["parameters"]
    assert not Fit().without_mask(understand(Request("a", f"{file}:Turned", contract=T5)))


def test_a_declared_table_may_have_any_name(file: Path) -> None:
    assert Fit().without_mask(understand(Request("a", f"{file}:OfAnotherName", contract=T5)))
    assert not Fit().without_mask(understand(Request("a", f"{file}:TurnedOfAnotherName", contract=T5)))


def test_a_table_that_is_not_declared_or_not_there_is_a_question(file: Path) -> None:
    with pytest.raises(Question, match="a learned bias of the distance") as asked:
        understand(Request("a", f"{file}:T5Attention"))
    assert asked.value.declaration == {"bias": "table"}
    with pytest.raises(Question, match='bias = "table" is declared, but applies to nothing'):
        understand(Request("a", f"{file}:NoTable", contract=T5))


def test_a_distance_within_the_single_buckets_is_a_question(file: Path) -> None:
    """32 buckets of both directions: eight of each have one distance, and the logarithm of 8 / 8 would divide by zero."""
    near = {**T5, "bias": {"max_distance": 8}}
    with pytest.raises(Question, match=r"of the 32 buckets 8 of a direction are for one distance each; .* 9 or more"):
        understand(Request("a", f"{file}:T5Attention", contract=near))
