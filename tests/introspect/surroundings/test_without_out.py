"""Attention without an out projection, with norms and a residual around it in every order."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question, SubjectError

FEW = ("oracle.output_without_mask", "oracle.output_under_masks")


class Heads(nn.Module):
    """Gives the heads; what is around them is for others."""

    scaled, over, merged = True, -1, True

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(d_model, d_model) for _ in range(3))
        self.norm, self.drop = nn.LayerNorm(d_model), nn.Dropout(dropout)

    def attend(self, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        maps = ((self.to_q, x), (self.to_k, y), (self.to_v, y))
        q, k, v = (f(z).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, z in maps)
        scores = q @ k.mT / (q.size(-1) ** 0.5 if self.scaled else 1.0)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        heads = scores.softmax(self.over) @ v
        return heads.transpose(1, 2).flatten(2) if self.merged else heads.reshape(x.shape)


class NormInFront(Heads):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.norm(x)
        return x + self.drop(self.attend(y, y, mask))


class NormInFrontUnscaled(NormInFront):
    scaled = False


class NormOfQueriesAlone(Heads):
    """Keys and values are made of what is not normalised: that may be a slip."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + self.attend(self.norm(x), x, mask)


class OfNormed(Heads):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        return self.attend(x, x, mask)


class NormBehind(Heads):
    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> Any:
        return self.norm(self.drop(self.attend(query, memory, mask)))


class NormBehindOverQueries(NormBehind):
    over = -2


class NormThenSum(Heads):
    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        normed: Tensor = self.norm(self.attend(query, memory, mask))
        return query + self.drop(normed)


class NormThenSumScrambled(NormThenSum):
    merged = False


class SumAlone(Heads):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + self.attend(x, x, mask)


class SumAloneUnscaled(SumAlone):
    scaled = False


class NormBetween(Heads):
    """A map follows the norm: that is no norm around the attention."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__(d_model, num_heads)
        self.last = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.norm(self.attend(x, x, None)))


@pytest.mark.parametrize("name", ["NormInFront", "OfNormed", "NormBehind", "NormThenSum"])
def test_what_is_around_the_heads_is_left_out(name: str) -> None:
    assert verify(f"{__file__}:{name}", dtypes="float64", properties=FEW)


@pytest.mark.parametrize("name", ["NormInFrontUnscaled", "NormBehindOverQueries", "NormThenSumScrambled", "SumAloneUnscaled"])
def test_a_bug_inside_stays(name: str) -> None:
    assert not verify(f"{__file__}:{name}", dtypes="float64", properties=FEW)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("NormInFront", {"LayerNorm", "the residual of the queries"}),
        ("NormBehind", {"the norm of the heads", "what comes after it"}),
        ("NormThenSum", {"the norm of the heads", "what comes after it"}),
        ("OfNormed", {"LayerNorm"}),
    ],
)
def test_what_is_left_out_is_named(name: str, named: set[str]) -> None:
    assert named <= set(understand(f"{__file__}:{name}").not_judged)


def test_a_dropout_behind_the_norm_is_none_of_the_attention() -> None:
    assert "dropout after the attention" in understand(f"{__file__}:NormThenSum").not_judged
    assert "dropout after the attention" not in understand(f"{__file__}:NormBehind").not_judged


def test_a_sum_alone_is_a_question() -> None:
    with pytest.raises(Question, match="the residual of the queries") as asked:
        understand(f"{__file__}:SumAlone")
    assert asked.value.declaration == {"surroundings": "left-out"}
    assert verify(f"{__file__}:SumAlone", dtypes="float64", contract=asked.value.declaration, properties=FEW)


def test_a_norm_of_queries_alone_is_a_question() -> None:
    with pytest.raises(Question, match=r"to_k, to_v are given the input itself, and to_q what norm makes of it"):
        understand(f"{__file__}:NormOfQueriesAlone")


def test_a_norm_in_front_of_a_last_map_is_not_left_out() -> None:
    with pytest.raises(SubjectError, match=r"norm\.weight .* is not part of plain"):
        understand(f"{__file__}:NormBetween")
