"""Dropout that eval() does not switch off."""

import torch.nn.functional as F
from torch import nn


class Attn(nn.Module):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__()
        if d_model % num_heads:
            raise ValueError
        self.num_heads, self.p = num_heads, dropout
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        b, t, c = query.shape
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        m = None if mask is None else mask.unsqueeze(1)
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=m, dropout_p=self.p)
        return self.o(z.transpose(1, 2).reshape(b, t, c))
