"""Widths of one head: a second one with the name of d_model, and one by which the number of heads is found."""

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import fails


class OfHeads(nn.Module):
    def __init__(self, input_size, heads, embed_size):
        super().__init__()
        self.h, self.e = heads, embed_size
        self.q, self.k, self.v = (nn.Linear(input_size, self.e * heads, bias=False) for _ in range(3))

    def scale(self) -> int:
        return self.e

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, self.e)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return ((q @ k.mT / self.scale() ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


class ScaledByHeads(OfHeads):
    def scale(self) -> int:
        return self.h


def test_it_is_given_the_width_of_a_head() -> None:
    subject = f"{__file__}:OfHeads"
    module = understand(subject, ("float64",)).adapter.build(4, 20)
    assert (module.e, module.q.weight.shape) == (5, (20, 20))
    assert verify(subject, dtypes="float64", properties=("oracle.*", "construction.*"))


def test_a_bug_is_found_so() -> None:
    assert verify(f"{__file__}:ScaledByHeads", dtypes="float64", properties="oracle.*").verdict == "violated"


class Divided(nn.Module):
    """As many heads as fit."""

    def __init__(self, dim, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.count = dim // head_dim
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        n_heads = x.size(-1) // self.head_dim
        q, k, v = self.qkv(x).unflatten(-1, (3, n_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        z = (q @ k.mT / self.head_dim**0.5).softmax(-1) @ v
        return self.proj(self.merged(z).reshape(x.shape))

    def merged(self, z):
        return z.transpose(1, 2)


class DividedAndMergedWrongly(Divided):
    def merged(self, z):
        return z


class DividedByNoName(Divided):
    def __init__(self, ni, chans):
        nn.Module.__init__(self)
        self.num_heads = ni // chans
        self.head_dim, self.count = chans, self.num_heads
        self.qkv, self.proj = nn.Linear(ni, 3 * ni), nn.Linear(ni, ni)


class DividedByNoNameAndMergedWrongly(DividedByNoName):
    def merged(self, z):
        return z


class OneHeadOfSeveral(Divided):
    """Its number of heads stands in the code."""

    def __init__(self, dim):
        super().__init__(dim, dim)
        self.num_heads = 1


@pytest.mark.parametrize("name", ["Divided", "DividedByNoName"])
def test_a_number_of_heads_is_what_is_divided_by_the_width_of_one(name: str) -> None:
    subject = understand(f"{__file__}:{name}", ("float64",))
    assert subject.adapter.sizes is None, "every number of heads is judged"
    assert subject.adapter.build(4, 20).count == 4
    assert subject.not_judged == ()
    assert not fails(f"{__file__}:{name}")
    assert fails(f"{__file__}:{name}AndMergedWrongly"), "which one head would not show"


def test_that_one_head_alone_is_judged_is_said() -> None:
    assert "more than one head" in understand(f"{__file__}:OneHeadOfSeveral", ("float64",)).not_judged
