"""A plain function on [B, H, T, d]."""

import torch


def dot_product_attention(q, k, v, mask=None):
    s = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        s = s.masked_fill(mask == 0, torch.finfo(s.dtype).min)
    s = s - s.amax(dim=-1, keepdim=True).detach()
    e = s.exp()
    return (e / e.sum(-1, keepdim=True)) @ v
