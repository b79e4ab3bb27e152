"""Blocks that drop after their attention alone: a right one is not called wrong, and a wrong dropout inside is still found."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify


class DropsAfter(nn.Module):
    def __init__(self, d_model: int, n_head: int, dropout: float = 0.1) -> None:
        super().__init__()
        assert d_model % n_head == 0
        self.n_head, self.rate = n_head, dropout
        self.q, self.k, self.v, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))
        self.norm, self.drop = nn.LayerNorm(d_model), nn.Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = (w(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2) for w, x in ((self.q, q), (self.k, k), (self.v, v)))
        out: Tensor = self.norm(q + self.drop(self.fc(self.attend(*heads).transpose(1, 2).flatten(2))))
        return out

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.dropped((q @ k.mT * q.size(-1) ** -0.5).softmax(-1)) @ v

    def dropped(self, weights: Tensor) -> Tensor:
        return weights


class KeepsWhatItShouldDrop(DropsAfter):
    def dropped(self, weights: Tensor) -> Tensor:
        return nn.functional.dropout(weights, 1 - self.rate, self.training)


class ForgetsToDrop(DropsAfter):
    def __init__(self, d_model: int, n_head: int, dropout: float = 0.1) -> None:
        super().__init__(d_model, n_head, dropout)
        self.attn_drop = nn.Dropout(dropout)


def test_nothing_of_dropout_is_judged_where_it_comes_after_the_attention() -> None:
    subject = understand(f"{__file__}:DropsAfter")
    assert "dropout after the attention" in subject.not_judged
    assert subject.adapter.build_dropping(2, 8, 0.5) is None
    assert verify(f"{__file__}:DropsAfter", dtypes="float64", properties="modes.train_is_eval_without_dropout")


@pytest.mark.parametrize("name", ["KeepsWhatItShouldDrop", "ForgetsToDrop"])
def test_a_wrong_dropout_in_the_attention_is_found_still(name: str) -> None:
    applied = {"dropout": "applied"}  # a rate that is never used is a question otherwise
    found = verify(f"{__file__}:{name}", dtypes="float64", properties="dropout.the_share_that_is_dropped", contract=applied)
    assert found.verdict == "violated", str(found)
