"""A question about a module that is built with a number of key heads names kv_heads, too, where fewer of them are right."""

from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

SOURCE = """
import torch
from torch import nn


class Sharing(nn.Module):
    def __init__(self, hidden_size, num_attention_heads, num_key_value_heads=None):
        super().__init__()
        self.h, self.g = num_attention_heads, num_key_value_heads or num_attention_heads
        self.d = hidden_size // self.h
        self.q_proj, self.o_proj = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.k_proj, self.v_proj = (nn.Linear(hidden_size, self.g * self.d) for _ in range(2))

    def repeated(self, x):
        return x.repeat_interleave(self.h // self.g, 1)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        s = q @ self.repeated(k).mT * self.d**-0.5
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
        return self.o_proj((s.softmax(-1) @ self.repeated(v)).transpose(1, 2).flatten(2))


class WrongOrder(Sharing):
    def repeated(self, x):
        return x.repeat(1, self.h // self.g, 1, 1)


class MustBeGiven(WrongOrder):
    def __init__(self, hidden_size, num_attention_heads, num_key_value_heads):
        super().__init__(hidden_size, num_attention_heads, num_key_value_heads)


class AsMany(Sharing):
    def __init__(self, hidden_size, num_attention_heads):
        super().__init__(hidden_size, num_attention_heads)
"""
models = model_file(SOURCE)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("Sharing", {"causal": "top-left", "kv_heads": "grouped"}),
        ("WrongOrder", {"causal": "top-left", "kv_heads": "grouped"}),
        ("MustBeGiven", {"causal": "top-left", "kv_heads": "grouped"}),
        ("AsMany", {"causal": "top-left"}),
    ],
)
def test_fewer_key_heads_are_named_whether_they_are_right_or_not(models: Path, name: str, declared: dict[str, str]) -> None:
    question = load_under(Request("a", f"{models}:{name}")).question
    assert question is not None
    assert question.declaration == declared
    right = " not" if name in ("WrongOrder", "MustBeGiven") else ""
    assert ("fewer of them than of queries" in str(question)) == ("kv_heads" in declared)
    assert (f"and{right or ' exactly'} right with fewer" in str(question)) == ("kv_heads" in declared)


def test_who_declares_everything_else_is_not_asked_where_they_are_right(models: Path) -> None:
    assert load_under(Request("a", f"{models}:Sharing", contract={"causal": "top-left"})).question is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("WrongOrder", "constructor argument num_key_value_heads"), ("MustBeGiven", "fewer heads of keys than of queries")],
)
def test_who_accepts_that_they_are_not_judged_is_not_asked(models: Path, name: str, words: str) -> None:
    asked = load_under(Request("a", f"{models}:{name}", contract={"causal": "top-left"})).question
    assert f'not_judged = ["{words}"] accepts that' in str(asked)
    accepting = Request("a", f"{models}:{name}", contract={"causal": "top-left"}, not_judged=(words,))
    assert load_under(accepting).question is None


@pytest.mark.parametrize("name", ["WrongOrder", "MustBeGiven"])
def test_who_declares_everything_else_is_asked_where_they_are_wrong(models: Path, name: str) -> None:
    question = load_under(Request("a", f"{models}:{name}", contract={"causal": "top-left"})).question
    assert question is not None
    assert question.declaration == {"kv_heads": "grouped"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("WrongOrder", "constructor argument num_key_value_heads"),
        ("MustBeGiven", "fewer heads of keys than of queries"),
        ("AsMany", ""),
    ],
)
def test_that_no_fewer_key_heads_were_seen_is_said(models: Path, name: str, words: str) -> None:
    subject = understand(Request("a", f"{models}:{name}", contract={"causal": "top-left"}))
    assert [said for said in subject.not_judged if "key" in said] == ([words] if words else [])


def test_as_declared_they_are_judged(models: Path) -> None:
    declared = {"causal": "top-left", "kv_heads": "grouped"}
    found = verify(f"{models}:MustBeGiven", contract=declared, dtypes="float64", properties="oracle.output_without_mask")
    assert found.verdict == "violated"
    assert not [said for said in found.not_judged if "key" in said]
