"""Positions that a module adds by itself unless a switch is off are no part of attention: it is judged without them."""

import pytest
import torch

from mhsa.introspect.resolve import understand
from tests.helpers.layers import Layers, fails


class AddsPositions(Layers):
    def __init__(self, num_heads: int, d_model: int, use_pos_enc: bool = True) -> None:
        super().__init__(num_heads, d_model)
        self.use_pos_enc = use_pos_enc

    def placed(self, x):
        return x + torch.arange(x.size(1), dtype=x.dtype)[:, None].sin() if self.use_pos_enc else x

    def forward(self, query_feats, kv_feats):
        return self.attend(self.placed(query_feats), self.placed(kv_feats), self.placed(kv_feats))


class AddsPositionsAndForgetsTheScale(AddsPositions):
    def __init__(self, num_heads: int, d_model: int, use_pos_enc: bool = True) -> None:
        super().__init__(num_heads, d_model, use_pos_enc)
        self.scale = 1.0


class AddsAlways(AddsPositions):
    def placed(self, x):
        return x + torch.arange(x.size(1), dtype=x.dtype)[:, None].sin()


def test_it_is_judged_without_positions() -> None:
    subject = understand(f"{__file__}:AddsPositions", ("float64",))
    assert "constructor argument use_pos_enc that is on" in subject.not_judged
    assert not fails(f"{__file__}:AddsPositions")


@pytest.mark.parametrize("wrong", ["AddsPositionsAndForgetsTheScale", "AddsAlways"])
def test_a_wrong_one_is_judged_too(wrong: str) -> None:
    assert fails(f"{__file__}:{wrong}")
