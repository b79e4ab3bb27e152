"""A module that is no attention is asked about where an argument was guessed, but for one that changes nothing."""

from typing import Any

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from tests.helpers.layers import Layers, fails


class DrawsByName(Layers):
    """A word says how weights are drawn."""

    def __init__(self, num_heads: int, d_model: int, fashion: str) -> None:
        super().__init__(num_heads, d_model)
        if fashion not in ("glorot", "he"):
            raise ValueError(fashion)
        for map_ in (self.q, self.k):
            nn.init.xavier_uniform_(map_.weight) if fashion == "glorot" else nn.init.kaiming_uniform_(map_.weight)

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class DrawsByNameAndUsesKeysTwice(DrawsByName):
    def forward(self, query, key, value):
        return self.attend(query, key, key)


class DrawsByNumberAndUsesKeysTwice(Layers):
    def __init__(self, num_heads: int, d_model: int, spread: float) -> None:
        super().__init__(num_heads, d_model)
        nn.init.normal_(self.q.weight, std=spread)

    def forward(self, query, key, value):
        return self.attend(query, key, key)


class KeepsAWidthAndUsesKeysTwice(Layers):
    def __init__(self, num_heads: int, d_model: int, t_attn_size: int) -> None:
        super().__init__(num_heads, d_model)
        self.t_attn_size = t_attn_size

    def forward(self, query, key, value):
        return self.attend(query, key, key)


class NormsBehindAndUsesKeysTwice(Layers):
    def __init__(self, num_heads: int, d_model: int, stabiliser: float) -> None:
        super().__init__(num_heads, d_model)
        self.norm = nn.LayerNorm(d_model, eps=stabiliser)

    def forward(self, query, key, value):
        return self.norm(query + self.attend(query, key, key))


class ScalesByAWidth(Layers):
    """Another width is no part of its scale that could be known."""

    def __init__(self, num_heads: int, d_model: int, t_attn_size: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = t_attn_size**-0.25

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class ScalesByName(Layers):
    """A word says by what scores are divided: neither is the usual scale of two heads."""

    def __init__(self, num_heads: int, d_model: int, fashion: str) -> None:
        super().__init__(num_heads, d_model)
        if fashion not in ("small", "large"):
            raise ValueError(fashion)
        self.scale = 0.5 if fashion == "small" else 0.125

    def forward(self, query, key, value):
        return self.attend(query, key, value)


def test_a_right_one_is_read() -> None:
    assert not fails(f"{__file__}:DrawsByName")


WRONG = [
    DrawsByNameAndUsesKeysTwice, DrawsByNumberAndUsesKeysTwice, KeepsAWidthAndUsesKeysTwice, NormsBehindAndUsesKeysTwice
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_one_is_judged(wrong: Any) -> None:
    assert fails(f"{__file__}:{wrong.__name__}")


def test_what_changes_the_output_is_asked_about() -> None:
    for name, argument in (("ScalesByName", "fashion"), ("ScalesByAWidth", "t_attn_size")):
        with pytest.raises(Question, match=argument):
            understand(f"{__file__}:{name}", ("float64",))
