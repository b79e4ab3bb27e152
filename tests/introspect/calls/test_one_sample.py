"""Modules without an axis of samples are called once for each of them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails


class NoBatch(nn.Module):
    axis = -1

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.width = d_model // num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        (tokens, _), heads = query.shape, []
        assert query.dim() == 2
        parts = (f(x).split(self.width, dim=1) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        for q, k, v in zip(*parts, strict=True):
            s = q @ k.t() / self.width**0.5
            s = s if mask is None else s.masked_fill(~mask.expand(tokens, -1), -1e9)
            heads.append(s.softmax(self.axis) @ v)
        return self.o(torch.cat(heads, dim=1))


class OverQueries(NoBatch):
    axis = 0


class WrongMask(NoBatch):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        mask = mask if mask is None else mask | mask.roll(1, dims=-1)
        return super().forward(query, key, value, mask)


def test_each_sample_is_given_alone() -> None:
    subject = understand(f"{__file__}:NoBatch", ("float64",))
    assert any("takes one sample without an axis for it" in each.text for each in subject.understood)
    assert not fails(f"{__file__}:NoBatch")


@pytest.mark.parametrize("wrong", ["OverQueries", "WrongMask"])
def test_a_wrong_one_is_violated(wrong: str) -> None:
    assert fails(f"{__file__}:{wrong}")


class OneHead(nn.Module):
    """Has neither a number of heads nor d_model by their names, and takes one sample alone."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.w_query, self.w_key, self.w_value = (nn.Parameter(torch.randn(d_in, d_out)) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        tokens, _ = x.shape
        q, k, v = (x @ w for w in (self.w_query, self.w_key, self.w_value))
        return (q @ k.t() / self.root(q, tokens)).softmax(-1) @ v

    def root(self, q: Tensor, tokens: int) -> float:
        return float(q.size(-1) ** 0.5)


class OneHeadScaledByTokens(OneHead):
    def root(self, q: Tensor, tokens: int) -> float:
        return float(tokens**0.5)


def test_one_head_of_one_sample_is_read_without_names_of_its_sizes() -> None:
    subject = understand(f"{__file__}:OneHead", ("float64",))
    assert subject.adapter.sizes is not None
    assert subject.adapter.sizes[0] == 1
    assert not fails(f"{__file__}:OneHead")
    assert fails(f"{__file__}:OneHeadScaledByTokens")
