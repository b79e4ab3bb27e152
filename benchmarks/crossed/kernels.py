"""torch's two functions under a formula: scaled_dot_product_attention with its switches, and flex_attention, not compiled."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import flex_attention

from mhsa import Contract


def sdpa_causal(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0) -> Tensor:
    """Attend with is_causal=True."""
    return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout_p, is_causal=True)


def sdpa_scaled(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend with a scale."""
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, scale=0.3)


sdpa_causal.mhsa_contract = Contract(causal="top-left")  # type: ignore[attr-defined]
sdpa_scaled.mhsa_contract = Contract(scale=0.3)  # type: ignore[attr-defined]


class _Grouped(nn.Module):
    """Maps with fewer heads of keys and values; ``attend`` gets them as they are."""

    def __init__(self, num_heads: int, d_model: int, num_kv_heads: int | None = None) -> None:
        super().__init__()
        fewer = next((n for n in range(num_heads - 1, 0, -1) if num_heads % n == 0), 1)
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, (num_kv_heads or fewer) * self.head_dim)
        self.v_proj = nn.Linear(d_model, (num_kv_heads or fewer) * self.head_dim)
        self.o_proj = nn.Linear(d_model, d_model)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return [B, Tq, d_model]."""
        maps = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        q, k, v = (f(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for f, x in maps)
        return self.o_proj(self.attend(q, k, v).transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return [B, H, Tq, d] of key and value [B, kv_heads, Tk, d]."""
        raise NotImplementedError


class SdpaGrouped(_Grouped):
    """enable_gqa, is_causal and a scale at once."""

    mhsa_contract: ClassVar[Contract] = Contract(causal="top-left", kv_heads="grouped", scale="1/d_k", indivisible="any")

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Call torch."""
        scale = 1.0 / self.head_dim
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True, scale=scale)


def forwards_only(*heads: Tensor) -> tuple[Tensor, ...]:
    """Return heads without their gradients on a CPU, where torch 2.13 has no backward pass of flex_attention and raises."""
    return tuple(x if x.is_cuda else x.detach() for x in heads)


class FlexGrouped(_Grouped):
    """flex_attention: causal, a window of five keys, a soft cap of 3, grouped keys and values."""

    mhsa_contract: ClassVar[Contract] = Contract(
        causal="top-left", kv_heads="grouped", window=(4, 0), softcap=3.0, indivisible="any"
    )

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Call torch with the formula as a score_mod."""

        def score(s: Tensor, b: Any, h: Any, i: Tensor, j: Tensor) -> Tensor:
            return torch.where((j <= i) & (i - j <= 4), 3.0 * torch.tanh(s / 3.0), -torch.inf)

        return flex_attention(*forwards_only(q, k, v), score_mod=score, enable_gqa=True)


class FlexAlibi(_Grouped):
    """flex_attention: causal, with ALiBi, a scale, and as many heads of keys as of queries."""

    mhsa_contract: ClassVar[Contract] = Contract(causal="top-left", bias="alibi-geometric", scale=0.5, indivisible="any")

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model, num_heads)
        self.num_heads = num_heads

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Call torch with the bias as a score_mod."""
        slopes = 2.0 ** (-8.0 * torch.arange(1, self.num_heads + 1, device=q.device, dtype=q.dtype) / self.num_heads)

        def score(s: Tensor, b: Any, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return torch.where(j <= i, s - slopes[h] * (i - j), -torch.inf)

        return flex_attention(*forwards_only(q, k, v), score_mod=score, scale=0.5)


KERNELS = ("sdpa_causal", "sdpa_scaled", "SdpaGrouped", "FlexGrouped", "FlexAlibi")
