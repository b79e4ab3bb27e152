"""torch's kernels of scaled_dot_product_attention one by one, as functions on [B, H, T, d]."""

from __future__ import annotations

import functools

from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, *, backend: SDPBackend
) -> Tensor:
    with sdpa_kernel(backend):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p)


_math = functools.partial(_attend, backend=SDPBackend.MATH)
_efficient = functools.partial(_attend, backend=SDPBackend.EFFICIENT_ATTENTION)
_cudnn = functools.partial(_attend, backend=SDPBackend.CUDNN_ATTENTION)
_flash = functools.partial(_attend, backend=SDPBackend.FLASH_ATTENTION)


def math(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by matrix products and a softmax."""
    return _math(query, key, value, attn_mask, dropout_p)


def efficient(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by the memory-efficient kernel."""
    return _efficient(query, key, value, attn_mask, dropout_p)


def cudnn(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by cuDNN's kernel."""
    return _cudnn(query, key, value, attn_mask, dropout_p)


def flash(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0) -> Tensor:
    """Attend by flash attention, which takes no mask."""
    return _flash(query, key, value, None, dropout_p)
