"""torch's kernels of scaled_dot_product_attention one by one, as functions on [B, H, T, d]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, backend: SDPBackend
) -> Tensor:
    with sdpa_kernel(backend):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p)


def math(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by matrix products and a softmax."""
    return _attend(query, key, value, attn_mask, dropout_p, SDPBackend.MATH)


def efficient(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by the memory-efficient kernel."""
    return _attend(query, key, value, attn_mask, dropout_p, SDPBackend.EFFICIENT_ATTENTION)


def cudnn(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    """Attend by cuDNN's kernel."""
    return _attend(query, key, value, attn_mask, dropout_p, SDPBackend.CUDNN_ATTENTION)


def flash(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0) -> Tensor:
    """Attend by flash attention, which takes no mask."""
    return _attend(query, key, value, None, dropout_p, SDPBackend.FLASH_ATTENTION)
