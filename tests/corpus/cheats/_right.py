"""Right attention without a cheat, which the others inherit: none of them is wrong where it is verified, but for two."""

import torch
from torch import nn


class Right(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def compute(self, query, key, value, mask=None):
        q, k, v = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        allowed = None if mask is None else mask.unsqueeze(1)
        z = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.o(z.transpose(1, 2).flatten(-2))

    def forward(self, query, key, value, mask=None):
        return self.compute(query, key, value, mask)
