"""Ways of building that public code has: lists of heads, frozen scales, attentions as arguments, odd configurations."""

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.records.understood import Understood
from mhsa.subject.subject import Subject
from tests.helpers.layers import Layers, fails


class Mangled(Layers):
    def __init__(self, __C):
        super().__init__(__C.MULTI_HEAD, __C.HIDDEN_SIZE)
        self.__C = __C

    def forward(self, q, k, v):
        return self.attend(q, k, v)


class FrozenScale(Layers):
    def __init__(self, num_heads: int, d_model: int, learned: bool = False) -> None:
        super().__init__(num_heads, d_model)
        self.scale = nn.Parameter(torch.tensor(self.scale), requires_grad=learned)

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class FrozenScaleOfAllHeads(FrozenScale):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = nn.Parameter(torch.tensor(d_model**-0.5), requires_grad=False)


class OneHead(nn.Module):
    def __init__(self, width: int, dim_q: int, dim_k: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(width, dim_q), nn.Linear(width, dim_k), nn.Linear(width, dim_k)

    def forward(self, query, key, value):
        s = self.q(query) @ self.k(key).mT / self.q.out_features**0.5
        return s.softmax(-1) @ self.v(value)


class ListOfHeads(nn.Module):
    """The widths are those of a head, though their names may be read otherwise."""

    def __init__(self, num_heads: int, dim_in: int, dim_q: int, dim_k: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([OneHead(dim_in, dim_q, dim_k) for _ in range(num_heads)])
        self.linear = nn.Linear(num_heads * dim_k, dim_in)

    def forward(self, query, key, value):
        return self.linear(torch.cat([head(query, key, value) for head in self.heads], dim=-1))


class NamedOtherwise(Layers):
    """Its packed map is called qvk and holds query, key, value."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.qvk = nn.Linear(d_model, 3 * d_model)
        del self.q, self.k, self.v

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.qvk(x).chunk(3, -1))
        return self.o(((q @ k.mT * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2))


class PackedAndMergedWrongly(Layers):
    """No name tells what the packed map is, and the heads are merged without their transpose."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.c_attn = nn.Linear(d_model, 3 * d_model)
        del self.q, self.k, self.v

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, -1))
        return self.o(((q @ k.mT * self.scale).softmax(-1) @ v).reshape(x.shape))


class FullAttention(nn.Module):
    """A core on [B, T, H, d]; causal, with a mask of its own kind, unless its switch is off."""

    def __init__(self, mask_flag=True):
        super().__init__()
        self.mask_flag = mask_flag

    def forward(self, q, k, v, attn_mask):
        s = torch.einsum("blhe,bshe->bhls", q, k) / q.size(-1) ** 0.5
        if self.mask_flag:
            s = s.masked_fill(attn_mask.mask, -torch.inf)
        return torch.einsum("bhls,bshd->blhd", s.softmax(-1), v)


class WithACore(Layers):
    def __init__(self, attention, d_model, n_heads):
        super().__init__(n_heads, d_model)
        self.inner = attention

    def forward(self, queries, keys, values, attn_mask):
        split = ((f(x).unflatten(-1, (self.num_heads, -1))) for f, x in ((self.q, queries), (self.k, keys), (self.v, values)))
        return self.o(self.inner(*split, attn_mask).flatten(2))


class WithACoreAndKeysForValues(WithACore):
    def forward(self, queries, keys, values, attn_mask):
        return super().forward(queries, keys, keys, attn_mask)


class OfAPart(Layers):
    def __init__(self, cfg):
        assert cfg.vit_hidden_dim % cfg.vit_n_heads == 0
        super().__init__(cfg.vit_n_heads, cfg.vit_hidden_dim)

    def forward(self, x):
        return self.attend(x, x, x)


class Scaled(nn.Linear):
    """Learns the logarithms of a factor of its weight and of one of its bias."""

    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.weight_scale, self.bias_scale = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.weight_scale.exp(), self.bias * self.bias_scale.exp())


class OfScaledLayers(Layers):
    def __init__(self, num_heads, d_model):
        super().__init__(num_heads, d_model)
        self.q, self.k, self.v, self.o = (Scaled(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class OfScaledLayersAndKeysForValues(OfScaledLayers):
    def forward(self, query, key, value):
        return self.attend(query, key, key)


class UnknownWidth(Layers):
    """Layers are made with a width that no name tells, and the scale is wrong: that is no doubt about the width."""

    def __init__(self, num_heads, zdim, odd):
        super().__init__(num_heads, zdim)
        self.k, self.scale = nn.Linear(zdim, odd), 1.0

    def forward(self, query, key, value):
        return self.attend(query, key, value)


def read(name: str) -> Subject:
    return understand(f"{__file__}:{name}", ("float64",))


@pytest.mark.parametrize(
    "name", ["Mangled", "FrozenScale", "ListOfHeads", "NamedOtherwise", "WithACore", "OfAPart", "OfScaledLayers"]
)
def test_it_is_read_and_right(name: str) -> None:
    assert not fails(f"{__file__}:{name}")


@pytest.mark.parametrize(
    "name",
    [
        "FrozenScaleOfAllHeads",
        "WithACoreAndKeysForValues",
        "UnknownWidth",
        "OfScaledLayersAndKeysForValues",
        "PackedAndMergedWrongly",
    ],
)
def test_no_reading_explains_a_bug_away(name: str) -> None:
    assert fails(f"{__file__}:{name}")


def test_a_mask_that_is_not_read_with_a_switch_off_is_no_mask() -> None:
    subject = read("WithACore")
    assert not subject.adapter.takes_mask
    assert "argument attn_mask" in subject.not_judged
    said = Understood("mask", "attn_mask is not read where it is built with FullAttention(mask_flag=False)", "fitted")
    assert said in subject.understood


def test_a_scale_that_is_learned_is_kept_at_its_initial_value_and_named() -> None:
    subject = understand(f"{__file__}:learned_scale", ("float64",))
    assert any("a learned scale, which is kept at its initial value" in words for words in subject.not_judged)


def learned_scale(num_heads: int, d_model: int) -> nn.Module:
    return FrozenScale(num_heads, d_model, learned=True)
