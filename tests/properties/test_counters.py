"""Buffers that count calls: a question where no result depends on them, and a violation otherwise."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.judge.verification import Verification, verify

TRIED = ["oracle.output_without_mask", "purity.nothing_around_a_call_changes"]


class CountsTokens(nn.Module):
    seen: Tensor

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def count(self, x: Tensor) -> None:
        self.seen += x.size(0) * x.size(1)

    def forward(self, x: Tensor) -> Tensor:
        self.count(x)
        q, k, v = (h.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for h in self.qkv(x).chunk(3, -1))
        heads = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class OtherAfterManyTokens(CountsTokens):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out * 1.25 if self.seen > 900 else out


class AveragesToo(CountsTokens):
    mean: Tensor

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.register_buffer("mean", torch.zeros(()))

    def count(self, x: Tensor) -> None:
        super().count(x)
        self.mean.mul_(0.5).add_(0.5)


def judged(kind: Any, **contract: str) -> Verification:
    return verify(f"{__file__}:{kind.__name__}", profile="quick", dtypes="float64", properties=TRIED, contract=contract or None)


def test_counters_are_a_question() -> None:
    asked = judged(CountsTokens)
    assert (asked.verdict, asked.declaration) == ("question", {"counters": "any"})
    assert "calls in eval mode count in seen, which no result depends on" in asked.reason
    assert judged(CountsTokens, counters="any").verdict == "holds"
    assert judged(CountsTokens, counters="none").verdict == "violated"


@pytest.mark.parametrize("contract", [{}, {"counters": "any"}])
def test_buffers_that_are_no_counters_are_a_violation(contract: dict[str, str]) -> None:
    assert [p.reason for p in judged(AveragesToo, **contract).failures] == ["mean changed in a call in eval mode, but must not"]


def test_a_counter_on_which_the_output_depends_is_a_violation() -> None:
    (failure,) = judged(OtherAfterManyTokens).failures
    assert "after seen was counted up" in failure.reason
