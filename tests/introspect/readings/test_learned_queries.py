"""A module that attends to its input with queries that are a parameter, as a resampler does."""

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import Layers, fails

SOME = (
    "oracle.*",
    "gradients.gradients_of_i*",
    "gradients.gradients_of_p*",
    "construction.parameters_*",
    "copies.pickled_copies",
)


class Resampler(Layers):
    def __init__(self, num_heads: int, d_model: int, n_latents: int = 5) -> None:
        super().__init__(num_heads, d_model)
        self.latents = nn.Parameter(torch.randn(1, n_latents, d_model))

    def forward(self, x):
        return self.attend(self.latents.expand(len(x), -1, -1), x, x)


class Masked(Resampler):
    def forward(self, x, mask=None):
        latents = self.latents.expand(len(x), -1, -1)
        return self.attend(latents, x, x, None if mask is None else ~mask[:, None].expand(-1, latents.size(1), -1))


class OfTorch(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no multiple")
        self.queries = nn.Parameter(torch.randn(3, d_model))
        self.attn = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, x):
        return self.attn(self.queries[None].expand(len(x), -1, -1), x, x, need_weights=False)[0]


class AttendsToItself(Resampler):
    def forward(self, x):
        latents = self.latents.expand(len(x), -1, -1)
        return self.attend(latents, latents, x[:, :1].expand(-1, latents.size(1), -1))


class Unscaled(Masked):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = 1.0


class WrongSamples(Masked):
    def forward(self, x, mask=None):
        return super().forward(x, None if mask is None else mask.roll(1, -1))


@pytest.mark.parametrize("name", ["Resampler", "Masked", "OfTorch"])
def test_the_parameter_is_the_query(name: str) -> None:
    subject = understand(f"{__file__}:{name}", ("float64",))
    assert "as query" in subject.adapter.describe()
    found = verify(f"{__file__}:{name}", dtypes="float64", properties=SOME)
    assert found, str(found)


@pytest.mark.parametrize("name", ["AttendsToItself", "Unscaled", "WrongSamples"])
def test_bugs_are_found(name: str) -> None:
    assert fails(f"{__file__}:{name}")
