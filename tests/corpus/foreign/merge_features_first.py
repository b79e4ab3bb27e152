"""Einsum style. Bug: the merge puts features outside and heads inside. Cause: MergeInterleaved"""
import torch
from torch import nn


class EinsumAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        assert d_model % num_heads == 0
        d = d_model // num_heads
        self.num_heads = num_heads
        self.W_q = nn.Parameter(torch.randn(d_model, num_heads, d) * d_model**-0.5)
        self.W_k = nn.Parameter(torch.randn(d_model, num_heads, d) * d_model**-0.5)
        self.W_v = nn.Parameter(torch.randn(d_model, num_heads, d) * d_model**-0.5)
        self.W_o = nn.Linear(d_model, d_model, bias=False)

    def forward(self, query, key, value, mask=None):
        q = torch.einsum("btm,mhd->bhtd", query, self.W_q)
        k = torch.einsum("btm,mhd->bhtd", key, self.W_k)
        v = torch.einsum("btm,mhd->bhtd", value, self.W_v)
        a = torch.einsum("bhqd,bhkd->bhqk", q, k) * q.size(-1) ** -0.5
        if mask is not None:
            a = a.masked_fill(~mask.unsqueeze(1), torch.finfo(a.dtype).min)
        z = torch.einsum("bhqk,bhkd->bqdh", a.softmax(-1), v)
        return self.W_o(z.flatten(2))
