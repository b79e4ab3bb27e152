"""A core that is built for heads of one width, and functions whose mask must be given in a form of their own."""

import torch
from torch import nn

from mhsa.introspect.core_of_width import core_of_width
from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails


class OfAConfiguration(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.head_dim, self.drop = config["head_dim"], nn.Dropout(config["attention_dropout"])

    def forward(self, Q, K, V, mask):
        s = Q @ K.mT / self.head_dim**0.5 - 1e9 * (1 - mask[:, None, None])
        return self.drop(s.softmax(-1)) @ V


class OfATemperature(nn.Module):
    def __init__(self, temperature, attn_dropout=0.1):
        super().__init__()
        self.temperature = temperature

    def forward(self, q, k, v):
        return (q / self.temperature @ k.mT).softmax(-1) @ v


class OfAWidthTwice(nn.Module):
    def __init__(self, d_k):
        super().__init__()
        self.factor = 1 / d_k

    def forward(self, q, k, v):
        return (q @ k.mT * self.factor).softmax(-1) @ v


class WithParameters(nn.Module):
    def __init__(self, d_k):
        super().__init__()
        self.map = nn.Linear(d_k, d_k)

    def forward(self, q, k, v):
        return self.map(q)


def needs_a_floating_mask(query, key, value, mask):
    """On [B, T, H, d]."""
    s = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.size(-1) ** 0.5
    s = s - 1e9 * (1 - mask[:, None, None])
    return torch.einsum("bhqk,bkhd->bqhd", s.softmax(-1), value)


def test_a_core_is_built_for_the_width_of_each_call() -> None:
    for name in ("OfAConfiguration", "OfATemperature", "needs_a_floating_mask"):
        assert not fails(f"{__file__}:{name}")
    assert fails(f"{__file__}:OfAWidthTwice")
    assert core_of_width(WithParameters, "x") is None


def test_a_mask_that_a_function_needs_is_given_in_its_form() -> None:
    subject = understand(f"{__file__}:needs_a_floating_mask", ("float64",))
    assert subject.contract.mask_shape == "[B, Tk]"
    assert subject.caller.float_masks
    assert subject.caller.fills_mask
