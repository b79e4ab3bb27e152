"""Attention whose mask has no default and is always used: what is to be seen is up to whoever calls it."""

import torch
from torch import nn


class MaskedAttention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {d_model} features")
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, queries, keys, values, mask):
        split = lambda x: x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = split(self.to_q(queries)), split(self.to_k(keys)), split(self.to_v(values))
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.size(-1) ** 0.5
        hidden = torch.finfo(scores.dtype).min
        weights = torch.where(mask.bool()[:, None], scores, hidden).softmax(dim=-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))
