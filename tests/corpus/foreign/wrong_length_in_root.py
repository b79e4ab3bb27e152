"""size(1) of [B, T, H, d]. Bug: the root is of the number of keys. Cause: ScaledByLength"""
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / k.size(1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        return self.o(torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2))
