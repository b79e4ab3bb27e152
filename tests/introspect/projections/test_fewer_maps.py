"""Attention with fewer maps than four: raw values, a query's map alone, one map for queries and keys."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand


class RawValues(nn.Module):
    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        assert d_model % n_heads == 0
        self.n_heads = n_heads
        self.w_q, self.w_k, self.w_o = (nn.Linear(d_model, d_model) for _ in range(3))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        projected = self.w_q(query), self.w_k(key), value
        q, k, v = (x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in projected)
        out: Tensor = self.w_o(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class OneMap(nn.Module):
    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, input_size)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.scores(x, y).softmax(-1) @ y

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        scores: Tensor = self.linear(x) @ self.linear(y).mT / x.size(-1) ** 0.5
        return scores


class QueryAlone(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        return (self.query_proj(query) @ context.mT * context.size(-1) ** -0.5).softmax(-1) @ context


class OverQueries(OneMap):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.scores(x, y).softmax(1) @ y


class ForgetsItsValues(RawValues):
    """It has a map of values and does not use it."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__(d_model, n_heads)
        self.w_v = nn.Linear(d_model, d_model)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RawValues", "no value projection"),
        ("OneMap", "key from the map of query"),
        ("QueryAlone", "no key, value, out projection"),
    ],
)
def test_fewer_maps_are_read_where_that_is_exact(name: str, words: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert fits(subject)
    assert words in dict(subject.notes)["parameters"]


def test_fewer_maps_explain_no_bug_away() -> None:
    assert not fits(understand(f"{__file__}:OverQueries"))  # exactly a softmax over the queries: no question
    assert not fits(understand(f"{__file__}:ForgetsItsValues"))
