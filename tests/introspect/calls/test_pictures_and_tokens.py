"""Pictures that attend to tokens, tokens that attend to a picture, and queries that every sample shares."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.adapters.shared_queries import SharedQueries
from mhsa.subject.subject import Subject
from tests.helpers.layers import Layers


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class PixelsAskTokens(nn.Module):
    """Queries are made by a convolution, keys and values by linear layers."""

    def __init__(self, channels: int, context_dim: int, heads: int = 4) -> None:
        super().__init__()
        assert channels % heads == 0
        self.heads = heads
        self.to_q, self.to_out = (nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.to_k, self.to_v = (nn.Linear(context_dim, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        c, h, w = x.shape[1:]
        q = split(self.to_q(x).flatten(2).transpose(1, 2), self.heads)
        k, v = split(self.to_k(context), self.heads), split(self.to_v(context), self.heads)
        weights = (q @ k.mT * self.scale(c)).softmax(self.over)
        y = self.merged(weights @ v)
        out: Tensor = self.to_out(self.back(y, h, w))
        return out

    over = -1

    def scale(self, c: int) -> float:
        return float((c // self.heads) ** -0.5)

    def merged(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(2)

    def back(self, y: Tensor, h: int, w: int) -> Tensor:
        return y.transpose(1, 2).unflatten(2, (h, w))


class ScaledByTheWidth(PixelsAskTokens):
    def scale(self, c: int) -> float:
        return float(c**-0.5)


class NormalisedOverPixels(PixelsAskTokens):
    over = -2


class HeadsMergedAsTheyLie(PixelsAskTokens):
    def merged(self, heads: Tensor) -> Tensor:
        return heads.reshape(len(heads), heads.size(2), -1)


class ColumnsForRows(PixelsAskTokens):
    def back(self, y: Tensor, h: int, w: int) -> Tensor:
        return y.transpose(1, 2).unflatten(2, (w, h)).mT


class NormedBlock(nn.Module):
    """Linear layers alone, on pixels, with a norm before them and a residual; a mask [B, T] of the tokens."""

    def __init__(self, in_channels: int, cond_dim: int, n_heads: int = 4) -> None:
        super().__init__()
        assert in_channels % n_heads == 0
        self.n_heads = n_heads
        self.norm = nn.GroupNorm(1, in_channels)
        self.query, self.proj = (nn.Linear(in_channels, in_channels) for _ in range(2))
        self.key, self.value = (nn.Linear(cond_dim, in_channels) for _ in range(2))

    def forward(self, x: Tensor, cond: Tensor, mask: Tensor | None = None) -> Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (split(y, self.n_heads) for y in (self.query(pixels), self.key(cond), self.value(cond)))
        scores = q @ k.mT * q.size(-1) ** -0.5
        if mask is not None:
            scores = self.hidden(scores, mask[:, None, None])
        return x + self.back(self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)), x)

    def hidden(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    def back(self, y: Tensor, x: Tensor) -> Tensor:
        return y.transpose(1, 2).reshape(x.shape)


class PutBackAsTheyLie(NormedBlock):
    def back(self, y: Tensor, x: Tensor) -> Tensor:
        return y.reshape(x.shape)


class MaskUnread(NormedBlock):
    def hidden(self, scores: Tensor, mask: Tensor) -> Tensor:
        return scores + 0 * mask


class TokensAskPixels(nn.Module):
    """The other way round: one convolution makes keys and values of the picture."""

    def __init__(self, dim: int, num_heads: int = 4) -> None:
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.kv = nn.Conv2d(dim, 2 * dim, 1)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        k, v = (split(y.transpose(1, 2), self.num_heads) for y in self.kv(image).flatten(2).chunk(2, dim=1))
        q = split(self.q(tokens), self.num_heads)
        heads = (q @ k.mT * self.scale(q)).softmax(-1) @ v
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out

    def scale(self, q: Tensor) -> float:
        return float(q.size(-1) ** -0.5)


class UnscaledOnPixels(TokensAskPixels):
    def scale(self, q: Tensor) -> float:
        return 1.0


class TableOfQueries(Layers):
    """Takes queries [Tq, D] and keys [B, Tk, D]."""

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        assert queries.dim() == 2
        memory = self.of_sample(memory)
        q = self.q(queries).unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        k, v = split(self.k(memory), self.num_heads), split(self.v(memory), self.num_heads)
        scores = q @ k.mT * self.scale
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min)
        out: Tensor = self.o((self.weights(scores) @ v).transpose(1, 2).flatten(2))
        return out

    def of_sample(self, memory: Tensor) -> Tensor:
        return memory

    def weights(self, scores: Tensor) -> Tensor:
        return scores.softmax(-1)


class NormalisedOverQueries(TableOfQueries):
    def weights(self, scores: Tensor) -> Tensor:
        return scores.softmax(-2)


class KeysOfAnotherSample(TableOfQueries):
    """Seen only where there are several samples in a call."""

    def of_sample(self, memory: Tensor) -> Tensor:
        return memory.roll(1, 0)


class PixelsAskOneVector(PixelsAskTokens):
    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        assert context.dim() == 2
        return super().forward(x, context.unsqueeze(1))


def read(name: str) -> Subject:
    return understand(Request("x", f"{__file__}:{name}"))


def judged(name: str, properties: Any = ("oracle.output_*", "gradients.gradients_of_inputs"), **contract: Any) -> Any:
    return verify(f"{__file__}:{name}", contract=contract or None, dtypes="float64", properties=properties)


@pytest.mark.parametrize(
    ("name", "layout"), [("PixelsAskTokens", "BCHW,BTD"), ("NormedBlock", "BCHW,BTD"), ("TokensAskPixels", "BTD,BCHW")]
)
def test_queries_and_keys_may_lie_in_two_ways(name: str, layout: str) -> None:
    subject = read(name)
    assert subject.contract.layout == layout
    assert [u.known for u in subject.understood if u.part == "layout"] == ["fitted"]
    found = judged(name)
    assert found, str(found)


@pytest.mark.parametrize(
    "name",
    ["ScaledByTheWidth", "NormalisedOverPixels", "HeadsMergedAsTheyLie", "ColumnsForRows", "PutBackAsTheyLie", "MaskUnread",
     "UnscaledOnPixels"],
)  # fmt: skip
def test_bugs_between_pictures_and_tokens_are_found(name: str) -> None:
    assert judged(name, "oracle.output_*").verdict == "violated"


def test_a_declared_layout_is_the_only_one() -> None:
    found = judged("PixelsAskTokens", layout="BCHW,BTD")
    assert found, str(found)


def test_queries_without_an_axis_of_samples_are_those_of_each_sample_in_turn() -> None:
    subject = read("TableOfQueries")
    assert isinstance(subject.adapter, SharedQueries)
    assert any("every sample shares" in u.text for u in subject.understood)
    found = judged("TableOfQueries")
    assert found, str(found)


@pytest.mark.parametrize("name", ["NormalisedOverQueries", "KeysOfAnotherSample"])
def test_bugs_with_shared_queries_are_found(name: str) -> None:
    assert judged(name, "oracle.output_*").verdict == "violated"


def test_one_vector_to_attend_to_is_a_question() -> None:
    with pytest.raises(Question, match="a single key is 1"):
        read("PixelsAskOneVector")
