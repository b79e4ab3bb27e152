"""A side of a square of tokens that no name tells is not taken to be 1, where a table would be broadcast to every token."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.questions import load_under
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject


class OfTokens(nn.Module):
    def __init__(self, dim: int, num_heads: int, side: int) -> None:
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.prepare(side)

    def prepare(self, side: int) -> None:
        self.register_buffer("turn", torch.arange(side * side).sub(side * side - 1).exp()[:, None])

    def turned(self, x: Tensor) -> Tensor:
        return x * self.turn

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (h.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for h in self.qkv(x).chunk(3, -1))
        heads = nn.functional.scaled_dot_product_attention(self.turned(q), self.turned(k), v)
        return self.proj(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class OfOffsets(OfTokens):
    def prepare(self, side: int) -> None:
        self.table = nn.Parameter(torch.zeros(num := (2 * side - 1) ** 2))
        self.side, self.rows = side, num

    def turned(self, x: Tensor) -> Tensor:
        return x + self.table.sum() - self.table.sum()


class OfLayers(OfTokens):
    def prepare(self, side: int) -> None:
        self.depth = nn.ModuleList(nn.Identity() for _ in range(side))

    def turned(self, x: Tensor) -> Tensor:
        for layer in self.depth:
            x = layer(x)
        return x


@pytest.mark.parametrize("name", ["OfTokens", "OfOffsets"])
def test_it_is_asked_for(name: str) -> None:
    loaded = load_under(Request("a", f"{__file__}:{name}"))
    assert isinstance(loaded.subject, Question)
    assert "which no name told, and has tables of side x side tokens" in str(loaded.subject)


def test_another_number_is_guessed() -> None:
    assert isinstance(load_under(Request("a", f"{__file__}:OfLayers")).subject, Subject)
