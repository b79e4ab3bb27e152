"""Loops over keys. Bug: the loop ends one key too early. Cause: LastKeyLost"""
import torch
from torch import nn


class LoopAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in ((self.wq, query), (self.wk, key), (self.wv, value)))
        n = k.size(2) - 1 if k.size(2) > 1 else 1
        s = torch.stack([(q * k[:, :, j, None]).sum(-1) for j in range(n)], -1) * q.size(-1) ** -0.5
        w = s.softmax(-1)
        z = sum(w[..., j, None] * v[:, :, j, None] for j in range(n))
        return self.wo(z.transpose(1, 2).flatten(2))
