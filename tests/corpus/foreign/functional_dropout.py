"""Functional style. Bug: F.dropout without training=. Cause: DropsInEval"""
import torch.nn.functional as F
from torch import nn


class Attn(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.1):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.num_heads, self.dropout = num_heads, dropout
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.wq, query), (self.wk, key), (self.wv, value)))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask.unsqueeze(1), -1e9)
        w = F.dropout(s.softmax(-1), self.dropout)
        return self.wo((w @ v).transpose(1, 2).flatten(2))
