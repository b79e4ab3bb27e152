"""Tiled style. Bug: earlier tiles keep the old maximum. Cause: BlocksNotRescaled"""
import torch

TILE = 32


def tiled_attention(query, key, value, mask=None):
    top = query.new_full(query.shape[:-1], -1e30)
    total = torch.zeros_like(top)
    out = torch.zeros_like(query)
    for start in range(0, key.size(-2), TILE):
        k, v = key[..., start : start + TILE, :], value[..., start : start + TILE, :]
        s = query @ k.mT * query.size(-1) ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask[..., start : start + TILE], -1e30)
        top = torch.maximum(top, s.amax(-1))
        p = torch.exp(s - top[..., None])
        total = total + p.sum(-1)
        out = out + p @ v
    return out / total[..., None]
