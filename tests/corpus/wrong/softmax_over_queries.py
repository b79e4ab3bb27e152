"""(c) Softmax over the query axis, einsum over raw parameters."""

import torch
from torch import nn


class EinsumAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        if dim % heads:
            raise ValueError("dim % heads")
        self.scale = (dim // heads) ** -0.5
        self.w_q = nn.Parameter(torch.randn(heads, dim, dim // heads))
        self.w_k = nn.Parameter(torch.randn(heads, dim, dim // heads))
        self.w_v = nn.Parameter(torch.randn(heads, dim, dim // heads))
        self.w_o = nn.Parameter(torch.randn(heads, dim // heads, dim))

    def forward(self, q, k, v, mask=None):
        q = torch.einsum("btd,hde->bhte", q, self.w_q)
        k = torch.einsum("btd,hde->bhte", k, self.w_k)
        v = torch.einsum("btd,hde->bhte", v, self.w_v)
        s = torch.einsum("bhie,bhje->bhij", q, k) * self.scale
        if mask is not None:
            s = s.masked_fill(mask[:, None] == 0, -1e9)
        return torch.einsum("bhij,bhje,hed->bid", s.softmax(-2), v, self.w_o)
