"""Gates after the attention are left out and named, a learned number that starts at zero hides nothing, and bugs are found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import Layers, fails


class Scaled(Layers):
    """A learned number scales what attention gives; it starts at zero."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor() * self.attended(x)

    def factor(self) -> Tensor:
        return self.gamma

    def attended(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        out: Tensor = self.o(((q @ k.mT * self.scale).softmax(self.over) @ v).transpose(1, 2).flatten(2))
        return out

    over = -1


class ScaledOverQueries(Scaled):
    over = -2


class ThroughTanh(Scaled):
    def factor(self) -> Tensor:
        return self.gamma.tanh()


class EachFeatureScaled(Scaled):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.gamma = nn.Parameter(1e-5 * torch.ones(d_model))
        self.norm = nn.LayerNorm(d_model)

    def attended(self, x: Tensor) -> Tensor:
        return super().attended(self.norm(x))


class GateOfTheQuery(Scaled):
    """A map of what attention gives scales the query."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.gamma, self.gate = None, nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(self.given(x)))

    def given(self, x: Tensor) -> Tensor:
        return self.attended(x)


class GateOverQueries(GateOfTheQuery):
    over = -2


class GateOfTheQueryAlone(GateOfTheQuery):
    """Nothing of what attention gives reaches the output."""

    def given(self, x: Tensor) -> Tensor:
        return x + 0 * self.attended(x)


class OneHead(nn.Module):
    """No out projection: a linear layer makes a gate of both, which mixes them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.fuse = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.joined(x, (self.q(x) @ self.k(context).mT * x.size(-1) ** -0.5).softmax(self.over) @ self.v(context))

    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        g = torch.sigmoid(self.fuse(torch.cat([x, y], dim=-1)))
        return g * x + (1 - g) * y

    over = -1


class MixOverQueries(OneHead):
    over = -2


class Fused(OneHead):
    """The layer that joins both is the out projection; an activation may follow."""

    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.fuse(torch.cat([y, x], dim=-1)))


class FusedOverQueries(Fused):
    over = -2


class OneMapAndAnActivation(nn.Module):
    """One map of queries, whose name says nothing; the keys are the values as they are."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, dim, bias=False)
        self.out = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU())

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        heads = (self.proj(query) @ memory.mT / query.size(-1) ** 0.5).softmax(self.over) @ memory
        out: Tensor = self.out(torch.cat([heads, query], dim=-1))
        return out

    over = -1


class OneMapOverQueries(OneMapAndAnActivation):
    over = -2


class FusedInAResidual(OneHead):
    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        fused: Tensor = self.fuse(torch.cat([x, y], dim=-1))
        return fused + x


class PixelsWithANumber(nn.Module):
    """Attention of a GAN: queries and keys are narrower than values, and no out projection follows."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(in_dim, in_dim // 8, 1) for _ in range(2))
        self.value = nn.Conv2d(in_dim, in_dim, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        weights = (q.mT @ k * q.size(1) ** -0.5).softmax(self.over)
        return self.gamma * self.back(v @ weights.mT, x) + x

    over = -1

    def back(self, y: Tensor, x: Tensor) -> Tensor:
        return y.reshape(x.shape)


class PixelsOverQueries(PixelsWithANumber):
    over = -2


class PixelsTurned(PixelsWithANumber):
    def back(self, y: Tensor, x: Tensor) -> Tensor:
        return y.mT.reshape(x.shape)


FEW = ("oracle.output_*", "gradients.gradients_of_inputs", "construction.*")


def judged(name: str, properties: Any = FEW) -> Any:
    return verify(f"{__file__}:{name}", dtypes="float64", properties=properties)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("Scaled", ("gate gamma", "residual")),
        ("ThroughTanh", ("gate gamma", "residual")),
        ("EachFeatureScaled", ("LayerNorm", "gate gamma", "residual")),
        ("GateOfTheQuery", ("gate gate",)),
        ("OneHead", ("gate fuse", "residual")),
        ("Fused", ("query joined with the heads", "tanh")),
        ("OneMapAndAnActivation", ("query joined with the heads", "relu")),
        ("FusedInAResidual", ("query joined with the heads", "residual")),
        ("PixelsWithANumber", ("the learned number", "the residual of the queries")),
    ],
)
def test_what_is_around_is_left_out_and_named(name: str, left: tuple[str, ...]) -> None:
    found = judged(name, (*FEW, "transforms.*") if name == "Scaled" else FEW)
    assert found, str(found)
    said = understand(f"{__file__}:{name}").not_judged
    assert all(any(part in words for words in said) for part in left), said


@pytest.mark.parametrize(
    "name",
    ["ScaledOverQueries", "GateOverQueries", "MixOverQueries", "FusedOverQueries", "PixelsOverQueries", "PixelsTurned"],
)  # fmt: skip
def test_bugs_inside_are_found(name: str) -> None:
    assert judged(name, "oracle.output_*").verdict == "violated"


def test_a_gate_that_is_not_made_of_the_attention_is_no_reason_to_leave_it_out() -> None:
    assert judged("GateOfTheQueryAlone", "oracle.output_*").verdict != "holds"


def test_one_map_alone_is_read_on_an_exact_fit_and_a_plain_mistake_is_judged() -> None:
    assert fails(f"{__file__}:OneMapOverQueries")
