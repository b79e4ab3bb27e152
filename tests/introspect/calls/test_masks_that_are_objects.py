"""A core whose mask is an object of a class, and causal where there is none: it is called without, and asked about."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.records.understood import Understood


class Future:
    def __init__(self, tokens):
        self.hidden = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)


class Core(nn.Module):
    """Takes heads after time."""

    def __init__(self, with_future=True, attention_dropout=0.1):
        super().__init__()
        self.with_future = with_future
        self.drop = nn.Dropout(attention_dropout)

    def forward(self, queries, keys, values, attn_mask):
        s = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / self.divisor(queries)
        if self.with_future:
            if attn_mask is None:
                attn_mask = Future(queries.size(1))
            s = s.masked_fill(attn_mask.hidden, -torch.inf)
        return torch.einsum("bhqk,bkhd->bqhd", self.drop(s.softmax(-1)), values), None

    def divisor(self, queries):
        return math.sqrt(queries.size(-1))


class OfAnotherScale(Core):
    def divisor(self, queries):
        return queries.size(-1)


class TakesATensor(Core):
    """What is read of its mask every tensor has."""

    def forward(self, queries, keys, values, attn_mask):
        s = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / self.divisor(queries)
        s = s if attn_mask is None else s.masked_fill(attn_mask.to(s.device).logical_not(), -1e9)
        return torch.einsum("bhqk,bkhd->bqhd", self.drop(s.softmax(-1)), values), None


_MEANT = {"lengths": "equal", "causal": "top-left"}


def test_a_causal_core_with_heads_after_time_is_a_question() -> None:
    with pytest.raises(Question) as asked:
        understand(f"{__file__}:Core", ("float64",))
    assert asked.value.declaration == _MEANT


def test_as_declared_it_is_called_without_its_mask() -> None:
    subject = understand(Request("it", f"{__file__}:Core", contract=_MEANT))
    assert subject.contract.layout == "BTHD"
    assert not subject.adapter.takes_mask
    assert "argument attn_mask" in subject.not_judged
    words = "attn_mask is None: its hidden is read, which no tensor has"
    assert Understood("call", words, "fitted") in subject.understood


def test_another_scale_is_a_violation_under_that_declaration() -> None:
    found = verify(f"{__file__}:OfAnotherScale", contract=_MEANT, dtypes="float64", properties="oracle.output_without_mask")
    assert found.verdict == "violated"


def test_a_mask_that_may_be_a_tensor_is_given() -> None:
    assert understand(f"{__file__}:TakesATensor", ("float64",)).adapter.takes_mask
