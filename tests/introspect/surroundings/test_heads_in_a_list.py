"""Attentions of one head in a list, which are given the same tensors, are the heads of one; so are those of other widths."""

from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify

TRIED = ("oracle.output_without_mask", "heads.each_head_alone", "invariance.key_order")


class OneAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_query, self.to_key, self.to_value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, encoder_features: torch.Tensor, decoder_features: torch.Tensor) -> torch.Tensor:
        q, k = self.to_query(decoder_features), self.to_key(encoder_features)
        scores = q @ k.mT / q.size(-1) ** 0.5
        return scores.softmax(-1) @ self.to_value(encoder_features)


class Right(nn.Module):
    """Each head has the full width, and the second sequence attends to the first, as their names say."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([OneAttention(width) for _ in range(num_heads)])
        self.mix = nn.Linear(width * num_heads, width)

    def forward(self, encoder_features: torch.Tensor, decoder_features: torch.Tensor) -> torch.Tensor:
        return self.mix(torch.cat([head(encoder_features, decoder_features) for head in self.heads], dim=-1))


class FirstHeadTwice(Right):
    def forward(self, encoder_features: torch.Tensor, decoder_features: torch.Tensor) -> torch.Tensor:
        heads = [self.heads[0], *self.heads[:-1]]
        return self.mix(torch.cat([head(encoder_features, decoder_features) for head in heads], dim=-1))


class OneForAll(Right):
    def forward(self, encoder_features: torch.Tensor, decoder_features: torch.Tensor) -> torch.Tensor:
        heads = [self.heads[0](encoder_features, decoder_features) for _ in self.heads]
        return self.mix(torch.cat(heads, dim=-1))


class AttendsToItself(Right):
    def forward(self, encoder_features: torch.Tensor, decoder_features: torch.Tensor) -> torch.Tensor:
        return self.mix(torch.cat([head(decoder_features, decoder_features) for head in self.heads], dim=-1))


class Nameless(Right):
    """Names that say nothing of which sequence attends: the output has as many rows as the second."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return super().forward(first, second)


def test_they_are_judged_together() -> None:
    subject = understand(f"{__file__}:Right", ("float64",))
    assert dict(subject.notes)["parameters"].startswith("query from heads.#.to_query.weight")
    assert verify(f"{__file__}:Right", dtypes="float64", properties=TRIED[0]).verdict in ("holds", "question")
    assert (
        verify(f"{__file__}:Right", dtypes="float64", properties=TRIED[0], contract={"indivisible": "any"}).verdict == "holds"
    )


@pytest.mark.parametrize("wrong", [FirstHeadTwice, AttendsToItself])
def test_a_bug_among_them_is_found(wrong: Any) -> None:
    assert verify(f"{__file__}:{wrong.__name__}", dtypes="float64", properties=TRIED[0]).verdict == "violated"


def test_which_of_two_nameless_sequences_attends_is_found_by_calling() -> None:
    subject = understand(f"{__file__}:Nameless", ("float64",))
    assert "second=query, first=key" in subject.adapter.describe()


def test_one_that_is_called_in_the_place_of_all_is_found() -> None:
    assert verify(f"{__file__}:OneForAll", dtypes="float64", properties=TRIED[0]).verdict == "violated"
