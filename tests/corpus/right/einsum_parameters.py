"""Einsum over raw parameters, one matrix per head."""

import torch
from torch import nn


class EinsumAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} not divisible by heads {heads}")
        width = dim // heads
        self.scale = width**-0.5
        self.w_q = nn.Parameter(torch.randn(heads, dim, width))
        self.w_k = nn.Parameter(torch.randn(heads, dim, width))
        self.w_v = nn.Parameter(torch.randn(heads, dim, width))
        self.w_o = nn.Parameter(torch.randn(heads, width, dim))
        self.b_q = nn.Parameter(torch.zeros(heads, 1, width))
        self.b_k = nn.Parameter(torch.zeros(heads, 1, width))
        self.b_v = nn.Parameter(torch.zeros(heads, 1, width))
        self.b_o = nn.Parameter(torch.zeros(dim))

    def forward(self, q, k, v, mask=None):
        q = torch.einsum("btd,hde->bhte", q, self.w_q) + self.b_q
        k = torch.einsum("btd,hde->bhte", k, self.w_k) + self.b_k
        v = torch.einsum("btd,hde->bhte", v, self.w_v) + self.b_v
        s = torch.einsum("bhie,bhje->bhij", q * self.scale, k)
        if mask is not None:
            s = torch.where(mask[:, None].bool(), s, torch.finfo(s.dtype).min)
        p = s.softmax(-1)
        return torch.einsum("bhij,bhje,hed->bid", p, v, self.w_o) + self.b_o, p
