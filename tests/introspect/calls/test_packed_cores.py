"""A core that takes query, key and value in one tensor is judged as a function of the three, in the form that fits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mhsa.introspect.choose_adapter import as_adapter
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import SubjectError


def attention(q, k, v):
    return (q @ k.mT / math.sqrt(q.size(-1))).softmax(-1) @ v


class RolesInHeads(nn.Module):
    """Channels first; each head has its query, key and value next to each other."""

    def __init__(self, n_heads):
        super().__init__()
        self.n_heads = n_heads

    def forward(self, qkv):
        q, k, v = qkv.unflatten(1, (self.n_heads, -1)).transpose(2, 3).chunk(3, -1)
        return attention(q, k, v).transpose(2, 3).flatten(1, 2)


class HeadsInRoles(RolesInHeads):
    def forward(self, qkv):
        q, k, v = (x.unflatten(1, (self.n_heads, -1)).transpose(2, 3) for x in qkv.chunk(3, 1))
        return attention(q, k, v).transpose(2, 3).flatten(1, 2)


class ScaledTwice(RolesInHeads):
    def forward(self, qkv):
        q, k, v = qkv.unflatten(1, (self.n_heads, -1)).transpose(2, 3).chunk(3, -1)
        return attention(q / math.sqrt(q.size(-1)), k, v).transpose(2, 3).flatten(1, 2)


class WithAMap(RolesInHeads):
    """It has parameters: what it computes is not that of the three alone."""

    def __init__(self, n_heads):
        super().__init__(n_heads)
        self.gain = nn.Parameter(torch.ones(n_heads, 1, 1))

    def forward(self, qkv):
        return super().forward(qkv)


def five_axes(qkv, scale=None):
    """Return attention on [B, T, 3, H, d]."""
    return attention(*(x.transpose(1, 2) for x in qkv.unbind(2))).transpose(1, 2)


def of_heads(mixed_qkv, num_heads):
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in mixed_qkv.chunk(3, -1))
    return attention(q, k, v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (RolesInHeads, "[B, H * 3 * d, T]"),
        (HeadsInRoles, "[B, 3 * H * d, T]"),
        (ScaledTwice, "[B, H * 3 * d, T]"),
        (five_axes, "[B, T, 3, H, d]"),
        (of_heads, "[B, T, 3 * H * d]"),
    ],
)
def test_the_form_is_that_which_is_nearest_to_attention(target: object, form: str) -> None:
    adapter = as_adapter(target, "it")
    said = f"takes query, key and value in one tensor {form}, and so as many queries as keys"
    assert said in [u.text for u in adapter.understood]
    assert adapter.square


def test_what_the_core_is_not_given_is_named() -> None:
    assert "argument scale" in understand(f"{__file__}:five_axes", ("float64",)).not_judged


def test_a_core_with_parameters_is_none() -> None:
    with pytest.raises(SubjectError, match="width"):
        as_adapter(WithAMap, "it")


@pytest.mark.parametrize(("name", "verdict"), [("RolesInHeads", "holds"), ("of_heads", "holds"), ("ScaledTwice", "violated")])
def test_it_is_judged(name: str, verdict: str) -> None:
    assert verify(f"{__file__}:{name}", dtypes="float64", properties="oracle.output_*").verdict == verdict
