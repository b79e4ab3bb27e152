"""Ways of writing that public code has: masks that must be there, lists of heads, frozen scales, attentions as arguments."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.subject import Subject


class Layers(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model}; must be a multiple of {num_heads} heads")
        self.num_heads, self.scale = num_heads, (d_model // num_heads) ** -0.5
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, query: Any, key: Any, value: Any, hide: Any = None) -> Any:
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT * self.scale
        s = s if hide is None else s.masked_fill(hide[:, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class NeedsItsMask(Layers):
    """Says that the mask may be None, and looks at its sizes."""

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, mask == 0 if mask.size(-1) else None)


class NeedsItsMaskAndHidesOneKeyLess(Layers):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, (mask == 0).roll(1, -1))


class FailsForUnequalLengths(Layers):
    """Can do without a mask where there are as many queries as keys."""

    def forward(self, query, key, value, mask=None):
        if mask is None:
            mask = torch.ones(query.size(0), query.size(1), query.size(1), dtype=torch.bool).expand(-1, -1, key.size(1))
        return self.attend(query, key, value, ~mask)


class OptionalKeys(Layers):
    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        key = x if k_x is None else k_x
        return self.attend(x, key, key if v_x is None else v_x, None if attn_mask is None else ~attn_mask)


class OptionalKeysAndKeysForValues(OptionalKeys):
    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        return super().forward(x, k_x, k_x, attn_mask)


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


class UnknownWidth(Layers):
    """Layers are made with a width that no name tells, and the scale is wrong: that is no doubt about the width."""

    def __init__(self, num_heads, zdim, odd):
        super().__init__(num_heads, zdim)
        self.k, self.scale = nn.Linear(zdim, odd), 1.0

    def forward(self, query, key, value):
        return self.attend(query, key, value)


def read(name: str, **declared: Any) -> Subject:
    return understand(f"{__file__}:{name}", ("float64",))


def fails(name: str) -> bool:
    """Whether the output is not that of attention; that it can be judged is required."""
    found = verify(f"{__file__}:{name}", dtypes="float64", properties="oracle.output_*")
    assert found.verdict in ("holds", "violated"), found
    return found.verdict == "violated"


@pytest.mark.parametrize(
    "name",
    ["NeedsItsMask", "OptionalKeys", "Mangled", "FrozenScale", "ListOfHeads", "NamedOtherwise", "WithACore", "OfAPart"],
)
def test_it_is_read_and_right(name: str) -> None:
    assert not fails(name)


@pytest.mark.parametrize(
    "name",
    [
        "NeedsItsMaskAndHidesOneKeyLess", "FailsForUnequalLengths", "OptionalKeysAndKeysForValues", "FrozenScaleOfAllHeads",
        "WithACoreAndKeysForValues", "UnknownWidth",
    ],
)  # fmt: skip
def test_no_reading_explains_a_bug_away(name: str) -> None:
    assert fails(name)


def test_a_mask_that_cannot_be_left_out_is_given_and_said() -> None:
    subject = read("NeedsItsMask")
    assert subject.caller.fills_mask
    assert any(words.startswith("calls without a mask, which all raise (AttributeError") for words in subject.not_judged)
    assert not read("FailsForUnequalLengths").caller.fills_mask


def test_a_mask_that_is_not_read_with_a_switch_off_is_no_mask() -> None:
    subject = read("WithACore")
    assert not subject.adapter.takes_mask
    assert "argument attn_mask" in subject.not_judged
    said = Understood("mask", "attn_mask is not read where it is built with FullAttention(mask_flag=False)", "fitted")
    assert said in subject.understood


def test_a_scale_that_is_learned_is_no_constant() -> None:
    with pytest.raises(Exception, match="scale .* changes the result but is not part"):
        understand(f"{__file__}:learned_scale", ("float64",))


def learned_scale(num_heads: int, d_model: int) -> nn.Module:
    return FrozenScale(num_heads, d_model, learned=True)
