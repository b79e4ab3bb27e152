"""Functional packed style. Bug: the value's bias is forgotten. Cause: ValueBiasLost"""
import torch
import torch.nn.functional as F
from torch import nn


class Packed(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("embed_dim must be a multiple of num_heads")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * embed_dim, embed_dim) * embed_dim**-0.5)
        self.in_proj_bias = nn.Parameter(torch.randn(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, query, key, value, attn_mask=None):
        d = self.embed_dim
        w, b = self.in_proj_weight, self.in_proj_bias
        q = F.linear(query, w[:d], b[:d])
        k = F.linear(key, w[d : 2 * d], b[d : 2 * d])
        v = F.linear(value, w[2 * d :]) + 0.0 * b[2 * d :]
        q, k, v = (t.view(t.size(0), t.size(1), self.num_heads, -1).transpose(1, 2) for t in (q, k, v))
        s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
        if attn_mask is not None:
            s = s.masked_fill(~attn_mask[:, None], -1e9)
        return self.out_proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
