"""Computes in bfloat16 what it is given in float32."""

import torch
from torch import nn

from _right import Right


class Rough(Right):
    def compute(self, query, key, value, mask=None):
        low = [x.to(torch.bfloat16) for x in (query, key, value)]
        q, k, v = (
            nn.functional.linear(x, f.weight.to(x.dtype), f.bias.to(x.dtype)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, x in zip((self.q, self.k, self.v), low)
        )
        allowed = None if mask is None else mask.unsqueeze(1)
        z = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.o(z.transpose(1, 2).flatten(-2).to(query.dtype))
