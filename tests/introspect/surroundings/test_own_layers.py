"""An attention of one head whose maps are layers of a class of its own, with a norm before it and a residual after it."""

import torch
from torch import nn

from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails


class PointWise(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.W, self.b = nn.Parameter(torch.randn(into, out)), nn.Parameter(torch.zeros(out))

    def forward(self, x):
        return x @ self.W + self.b


class Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q, self.to_k, self.to_v, self.last = (PointWise(dim, dim) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        scores = self.to_q(h) @ self.to_k(h).mT
        return x + self.last((scores * self.factor(h)).softmax(-1) @ self.to_v(h))

    def factor(self, h):
        return h.size(-1) ** -0.5


class Unscaled(Block):
    def factor(self, h):
        return 1.0


class WithoutSoftmax(Block):
    def forward(self, x):
        h = self.norm(x)
        return x + self.last(self.to_q(h) @ self.to_k(h).mT * self.factor(h) @ self.to_v(h))


def test_the_attention_inside_is_judged_whatever_class_its_maps_have() -> None:
    subject = understand(f"{__file__}:Block")
    assert any("residual" in words for words in subject.not_judged)
    assert not fails(f"{__file__}:Block")


def test_one_that_never_speaks_of_several_has_one_though_it_is_wrong() -> None:
    for name in ("Unscaled", "WithoutSoftmax"):
        assert understand(f"{__file__}:{name}").adapter.sizes[0] == 1
        assert fails(f"{__file__}:{name}")
