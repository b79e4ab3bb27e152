"""Activations after the maps of queries, keys and values: plain attention has none, so they are a question."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question

FEW = ("oracle.output_without_mask",)


class Rectified(nn.Module):
    scaled = True

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, x: Tensor, context: Tensor) -> Tensor:
        maps = ((self.query, x), (self.key, context), (self.value, context))
        q, k, v = (F.relu(f(y)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, y in maps)
        scores = q @ k.mT
        if self.scaled:
            scores = scores / q.size(-1) ** 0.5
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        out: Tensor = self.out(self.attend(x, context))
        return out


class RectifiedUnscaled(Rectified):
    scaled = False


class RectifiedBlock(Rectified):
    """As in old code for translation: no out projection, a residual, and a norm."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__(d_model, num_heads)
        self.out = nn.Identity()
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.attend(x, context) + x)
        return normed


class RectifiedBlockUnscaled(RectifiedBlock):
    scaled = False


class ParallelMlp(Rectified):
    """The activation is that of a feed-forward beside the attention."""

    def attend(self, x: Tensor, context: Tensor) -> Tensor:
        maps = ((self.query, x), (self.key, context), (self.value, context))
        q, k, v = (f(y).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, y in maps)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) + torch.relu(self.query(x))


@pytest.mark.parametrize("name", ["Rectified", "RectifiedBlock"])
def test_they_are_named_and_left_out_where_that_is_declared(name: str) -> None:
    with pytest.raises(Question, match="exactly right but for relu after the maps of queries, keys or values") as asked:
        understand(f"{__file__}:{name}")
    assert asked.value.declaration == {"surroundings": "left-out"}
    assert verify(f"{__file__}:{name}", dtypes="float64", contract=asked.value.declaration, properties=FEW)


def test_they_are_a_violation_where_nothing_is_around() -> None:
    assert not verify(f"{__file__}:Rectified", dtypes="float64", contract={"surroundings": "none"}, properties=FEW)


@pytest.mark.parametrize("declared", [{}, {"surroundings": "left-out"}])
@pytest.mark.parametrize("name", ["RectifiedUnscaled", "RectifiedBlockUnscaled"])
def test_a_bug_next_to_them_stays(name: str, declared: dict[str, str]) -> None:
    assert not verify(f"{__file__}:{name}", dtypes="float64", contract=declared, properties=FEW)


def test_another_activation_explains_nothing() -> None:
    assert not verify(f"{__file__}:ParallelMlp", dtypes="float64", properties=FEW)
