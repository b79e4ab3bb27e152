"""Scores filled with -inf; the NaN of a fully masked row is repaired in the weights. Masks come as [B, 1, Tq, Tk]."""

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, embed_size: int, heads: int):
        super().__init__()
        self.heads, self.head_dim = heads, embed_size // heads
        if self.head_dim * heads != embed_size:
            raise AssertionError("embed size must be divisible by heads")
        self.values = nn.Linear(embed_size, embed_size)
        self.keys = nn.Linear(embed_size, embed_size)
        self.queries = nn.Linear(embed_size, embed_size)
        self.fc_out = nn.Linear(embed_size, embed_size)

    def forward(self, values, keys, query, mask):
        n, length = query.shape[:2]
        v, k, q = (
            f(x).reshape(n, -1, self.heads, self.head_dim)
            for f, x in ((self.values, values), (self.keys, keys), (self.queries, query))
        )
        energy = torch.einsum("nqhd,nkhd->nhqk", q, k)
        if mask is not None:
            energy = energy.masked_fill(mask == 0, float("-inf"))
        attention = torch.nan_to_num(torch.softmax(energy / self.head_dim**0.5, dim=3))
        out = torch.einsum("nhqk,nkhd->nqhd", attention, v).reshape(n, length, self.heads * self.head_dim)
        return self.fc_out(out)
