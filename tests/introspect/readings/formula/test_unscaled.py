"""Attention that the field has without a scale is asked about; elsewhere a missing scale is a bug."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question


class PixelAttention(nn.Module):
    """Over pixels, with narrow queries and keys and a learned factor of the output, as in SAGAN."""

    def __init__(self, channels):
        super().__init__()
        self.to_query, self.to_key = (nn.Conv2d(channels, channels // 4, 1) for _ in range(2))
        self.to_value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        q, k, v = (f(x).flatten(2) for f in (self.to_query, self.to_key, self.to_value))
        return self.gamma * (v @ self.weights(q.mT @ k).mT).view(x.shape) + x

    def weights(self, scores):
        return scores.softmax(-1)


class PixelAttentionOverQueries(PixelAttention):
    def weights(self, scores):
        return scores.softmax(-2)


class PixelAttentionWithoutItsFactor(PixelAttention):
    """Nothing of its code is SAGAN's but the convolutions: the scale is missing."""

    def __init__(self, channels):
        super().__init__(channels)
        del self.gamma

    def forward(self, x):
        q, k, v = (f(x).flatten(2) for f in (self.to_query, self.to_key, self.to_value))
        return (v @ self.weights(q.mT @ k).mT).view(x.shape)


class DotAttention(nn.Module):
    """One state of a decoder attends to those of an encoder; nothing is learned."""

    def forward(self, decoder_state, encoder_states):
        weights = self.weights(encoder_states @ decoder_state.unsqueeze(-1))
        return (weights * encoder_states).sum(1)

    def weights(self, scores):
        return scores.softmax(1)


class DotAttentionOverTheLastAxis(DotAttention):
    def weights(self, scores):
        return scores.softmax(-1)


class TokenAttention(nn.Module):
    """The scale is missing, and a learned number next to tokens makes no difference."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


def verdict(kind: type[nn.Module], **declared: float) -> str:
    found = verify(f"{__file__}:{kind.__name__}", contract=declared or None, dtypes="float64", properties="oracle.output_*")
    return found.verdict


@pytest.mark.parametrize("kind", [PixelAttention, DotAttention])
def test_it_is_asked_and_holds_as_declared(kind: type[nn.Module]) -> None:
    with pytest.raises(Question, match=r"scale = 1\.0") as asked:
        understand(f"{__file__}:{kind.__name__}", ("float64",))
    assert asked.value.declaration == {"scale": 1.0}
    assert verdict(kind, scale=1.0) == "holds"


@pytest.mark.parametrize("kind", [PixelAttentionOverQueries, DotAttentionOverTheLastAxis])
def test_another_softmax_is_violated_with_and_without_the_declaration(kind: type[nn.Module]) -> None:
    assert verdict(kind) == "violated"
    assert verdict(kind, scale=1.0) == "violated"


@pytest.mark.parametrize("kind", [PixelAttentionWithoutItsFactor, TokenAttention])
def test_a_missing_scale_is_a_violation_elsewhere(kind: type[nn.Module]) -> None:
    assert verdict(kind) == "violated"
