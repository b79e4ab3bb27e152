"""A switch of biases that is off by default: a module that is wrong where it is on is judged there."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand


class Packed(nn.Module):
    """Its queries and values have biases of their own where they are asked for."""

    order = ("q", "none", "v")

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None

    def forward(self, x: Tensor) -> Tensor:
        packed = self.qkv(x)
        if self.q_bias is not None:
            parts = {"q": self.q_bias, "v": self.v_bias, "none": torch.zeros_like(self.q_bias)}
            packed = packed + torch.cat([parts[name] for name in self.order])
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in packed.chunk(3, -1))
        output: Tensor = self.proj(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return output


class BiasOfValuesOnKeys(Packed):
    order = ("q", "v", "none")


class BiasOfPositions(nn.Module):
    """What its switch turns on is another formula, and no bias of a map."""

    def __init__(self, dim: int, num_heads: int, attn_bias: bool = False) -> None:
        super().__init__()
        self.inner = Packed(dim, num_heads)
        self.distances = nn.Parameter(torch.zeros(dim)) if attn_bias else None

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.inner(x)
        return output if self.distances is None else output + self.distances.cumsum(0)


@pytest.mark.parametrize("name", ["Packed", "BiasOfPositions"])
def test_the_default_is_judged_where_nothing_is_wrong(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert fits(subject)
    assert any(words in subject.not_judged for words in ("constructor argument qkv_bias", "constructor argument attn_bias"))


def test_the_position_in_which_it_is_wrong_is_judged() -> None:
    subject = understand(f"{__file__}:BiasOfValuesOnKeys")
    assert not fits(subject)
    assert "constructor argument qkv_bias that is off" in subject.not_judged
    assert any("qkv_bias is on, where it is not exactly attention" in part.text for part in subject.understood)
