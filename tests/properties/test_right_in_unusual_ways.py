"""Right modules that do what looks like a bug: properties that change parts of them, or call them again, leave them alone."""

from typing import Any

import pytest
import torch
from torch import nn

from mhsa.judge.verification import verify


class Attention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} % {num_heads} must be 0")
        self.heads, self.rate = num_heads, dropout
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def drop(self, weights):
        return nn.functional.dropout(weights, self.rate, self.training)

    def value_of(self, value):
        return self.v_proj(value)

    def attend(self, query, key, value):
        maps = self.q_proj(query), self.k_proj(key), self.value_of(value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in maps)
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        return self.out_proj((self.drop(weights) @ v).transpose(1, 2).flatten(2))

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class Counts(Attention):
    """Counts its training steps in a frozen parameter."""

    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__(d_model, num_heads, dropout)
        self.steps = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, query, key, value):
        if self.training:
            self.steps += 1
        return self.attend(query, key, value)


class OwnRandomNumbers(Attention):
    """Drops by a generator of its own, which a seed of torch's does not set."""

    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__(d_model, num_heads, dropout)
        self.dropout_p = dropout
        self.generator = torch.Generator().manual_seed(torch.initial_seed() % 2**31)

    def drop(self, weights):
        if not self.training or not self.dropout_p:
            return weights
        kept = torch.rand(weights.shape, generator=self.generator) >= self.dropout_p
        return weights * kept / max(1.0 - self.dropout_p, 1e-30)


class FusedOnRequest(Attention):
    """Has its values' map in a copy once ``fuse`` was called, and says so in a flag."""

    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__(d_model, num_heads, dropout)
        self.fused = False
        self.register_buffer("copy", torch.zeros(d_model, d_model), persistent=False)

    def fuse(self):
        self.copy.copy_(self.v_proj.weight)
        self.fused = True

    def value_of(self, value):
        return nn.functional.linear(value, self.copy if self.fused else self.v_proj.weight, self.v_proj.bias)


class EachDefaultsToTheQuery(Attention):
    def forward(self, query, key=None, value=None):
        key = query if key is None else key
        value = query if value is None else value
        return self.attend(query, key, value)


class OneMaskForAllSamples(Attention):
    def forward(self, query, key, value, mask=None):
        """mask: bool [Tq, Tk], True may attend, the same for all samples."""
        maps = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in maps)
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[None, None], -1e30)
        return self.out_proj((self.drop(scores.softmax(-1)) @ v).transpose(1, 2).flatten(2))


class Kernels(nn.Module):
    """Its maps are not called weights, and their biases not after them."""

    def __init__(self, features, num_heads, use_bias=True):
        super().__init__()
        if features % num_heads:
            raise ValueError(f"{features} % {num_heads} must be 0")
        self.heads = num_heads
        for role in "qkvo":
            setattr(self, f"kernel_{role}", nn.Parameter(torch.randn(features, features)))
            setattr(self, f"shift_{role}", nn.Parameter(torch.zeros(features)) if use_bias else None)

    def dense(self, x, role):
        y = x @ getattr(self, f"kernel_{role}")
        shift = getattr(self, f"shift_{role}")
        return y if shift is None else y + shift

    def forward(self, query, key, value):
        q, k, v = (
            self.dense(x, role).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, role in ((query, "q"), (key, "k"), (value, "v"))
        )
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        return self.dense((weights @ v).transpose(1, 2).flatten(2), "o")


CHANGED_AGAIN = (
    "oracle.output_without_mask",
    "modes.*",
    "dropout.what_is_kept_is_scaled_up",
    "branches.*",
    "construction.a_switch_*",
)


@pytest.mark.parametrize(
    "kind", [Counts, OwnRandomNumbers, FusedOnRequest, EachDefaultsToTheQuery, Kernels], ids=lambda kind: kind.__name__
)
def test_it_holds(kind: Any) -> None:
    found = verify(f"{__file__}:{kind.__name__}", dtypes="float64", properties=CHANGED_AGAIN)
    assert found, str(found)


def test_an_empty_batch_has_a_mask_that_all_samples_share() -> None:
    found = verify(f"{__file__}:OneMaskForAllSamples", dtypes="float64", properties="edges.*")
    assert found, str(found)


def test_a_flag_that_is_no_more_than_a_choice_is_turned() -> None:
    """The control: without ``fuse`` nothing says that the flag stands for what was done before."""
    found = verify(f"{__file__}:Forgetful", dtypes="float64", properties=CHANGED_AGAIN)
    assert [p.id for p in found.failures] == ["branches.every_way_computes_the_same"]


class Forgetful(Attention):
    def __init__(self, d_model, num_heads, dropout=0.0):
        super().__init__(d_model, num_heads, dropout)
        self.fused = False

    def value_of(self, value):
        return nn.functional.linear(value, self.v_proj.weight) if self.fused else self.v_proj(value)
