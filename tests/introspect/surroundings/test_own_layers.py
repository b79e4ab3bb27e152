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


class Kernel(nn.Module):
    """A convolution of 1 x 1 written by hand."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(out, into, 1, 1)), nn.Parameter(torch.zeros(out))

    def forward(self, x):
        return nn.functional.conv2d(x, self.weight, self.bias)


class OfPictures(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, in_channels)
        self.into, self.final = Kernel(in_channels, 3 * in_channels), Kernel(in_channels, in_channels)

    def forward(self, x):
        q, k, v = (y.flatten(2) for y in self.into(self.norm(x)).chunk(3, 1))
        w = (q.mT @ k * self.factor(q)).softmax(-1)
        return x + self.final((v @ w.mT).view(x.shape))

    def factor(self, q):
        return q.size(1) ** -0.5


class OfPicturesUnscaled(OfPictures):
    def factor(self, q):
        return 1.0


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


def test_kernels_of_one_pixel_are_maps_in_a_class_of_ones_own_too() -> None:
    subject = understand(f"{__file__}:OfPictures")
    assert {"residual", "GroupNorm"} <= set(subject.not_judged)
    assert not fails(f"{__file__}:OfPictures")
    assert fails(f"{__file__}:OfPicturesUnscaled")


def test_one_that_never_speaks_of_several_has_one_though_it_is_wrong() -> None:
    for name in ("Unscaled", "WithoutSoftmax"):
        assert understand(f"{__file__}:{name}").adapter.sizes[0] == 1
        assert fails(f"{__file__}:{name}")
