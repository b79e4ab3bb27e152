"""outside of autograd the query argument is scaled in place, the caller's tensor is changed.

Cause: none
"""
import torch


def lean_attention(query, key, value, mask=None):
    """Attention on [B, H, T, d] that saves memory at inference."""
    scale = query.shape[-1] ** -0.5
    if torch.is_grad_enabled() and query.requires_grad:
        scores = torch.matmul(query * scale, key.transpose(-1, -2))
    else:
        key = key.clone() if key.data_ptr() == query.data_ptr() else key
        value = value.clone() if value.data_ptr() == query.data_ptr() else value
        if 0 in query.stride():
            query = query.clone()
        scores = torch.matmul(query.mul_(scale), key.transpose(-1, -2))
    if mask is not None:
        allowed = mask.bool() if mask.dim() == 4 else mask.bool()[:, None]
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1), value)
