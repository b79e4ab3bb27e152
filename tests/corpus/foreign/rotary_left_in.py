"""Rotary positions left in. Cause: none"""
import torch
from torch import nn


def rotate(x):
    half = x.size(-1) // 2
    angle = torch.arange(x.size(-2), device=x.device, dtype=x.dtype)[:, None] * 10000.0 ** -torch.linspace(0, 1, max(half, 1), device=x.device, dtype=x.dtype)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    angle = angle[:, :half]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos(), rest], -1)


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.wq, self.wk, self.wv))
        s = rotate(q) @ rotate(k).mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        return self.wo((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
