"""A mask of keys may set the output of the tokens that it hides to zero: documented, or asked about."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.judge.verification import Verification, verify

TRIED = ["oracle.*", "heads.*", "gradients.gradients_of_inputs", "gradients.gradients_of_parameters", "masks.*"]


class ZeroWhereHidden(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT / q.size(-1) ** 0.5

    def clear(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask.unsqueeze(-1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (h.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for h in self.qkv(x).chunk(3, -1))
        scores = self.scores(q, k)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        out = self.out((scores.softmax(-1).nan_to_num() @ v).transpose(1, 2).flatten(2))
        return out if mask is None else self.clear(out, mask)  # type: ignore[no-any-return]


class SaysSo(ZeroWhereHidden):
    """Self-attention; mask [B, T] is True for tokens, and the output of padding is zero."""


class SaysSoAndForgetsTheScale(SaysSo):
    """Self-attention; mask [B, T] is True for tokens, and the output of padding is zero."""

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT


class ClearsTheOthers(SaysSo):
    """Self-attention; mask [B, T] is True for tokens, and the output of padding is zero."""

    def clear(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * ~mask.unsqueeze(-1)


def judged(kind: Any, **contract: str) -> Verification:
    return verify(f"{__file__}:{kind.__name__}", dtypes="float64", properties=TRIED, contract=contract or None)


def test_documented_it_holds() -> None:
    found = judged(SaysSo)
    assert found.verdict == "holds", str(found)
    assert "the output of tokens that it hides is zero (documented)" in str(found.notes)


def test_otherwise_it_is_a_question() -> None:
    asked = judged(ZeroWhereHidden)
    assert (asked.verdict, asked.declaration) == ("question", {"padded_queries": "zero"})
    assert judged(ZeroWhereHidden, padded_queries="zero").verdict == "holds"
    assert judged(ZeroWhereHidden, padded_queries="computed").verdict == "violated"


@pytest.mark.parametrize("kind", [SaysSoAndForgetsTheScale, ClearsTheOthers])
def test_a_bug_next_to_it_is_found(kind: Any) -> None:
    assert judged(kind).verdict == "violated"
