"""Norms of the tokens of two pictures, which are flattened before them, are left out."""

from typing import Any

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from tests.helpers.layers import Layers, fails


class NormsBoth(Layers):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm_query, self.norm_context = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def values(self, tokens):
        return tokens

    def forward(self, x, context):
        query, tokens = (norm(y.flatten(2).mT) for norm, y in ((self.norm_query, x), (self.norm_context, context)))
        return self.attend(query, tokens, self.values(tokens)).mT.reshape(x.shape)


class ValuesInAnotherOrder(NormsBoth):
    def values(self, tokens):
        return tokens.flip(1)


def test_they_are_left_out() -> None:
    subject = understand(f"{__file__}:NormsBoth", ("float64",))
    assert subject.contract.layout == "BCHW"
    assert "LayerNorm" in subject.not_judged
    assert not fails(f"{__file__}:NormsBoth")


@pytest.mark.parametrize("wrong", [ValuesInAnotherOrder])
def test_a_bug_between_them_is_found(wrong: Any) -> None:
    assert fails(f"{__file__}:{wrong.__name__}")
