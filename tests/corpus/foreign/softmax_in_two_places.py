"""Refactored style. Bug: the helper and its caller both normalise. Cause: SoftmaxTwice"""
import torch
import torch.nn.functional as F
from torch import nn


class Scores(nn.Module):
    def forward(self, q, k, mask):
        s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
        return F.softmax(s, -1)


class Attention(nn.Module):
    def __init__(self, features, n_heads):
        super().__init__()
        assert features % n_heads == 0
        self.n_heads = n_heads
        self.project = nn.ModuleDict({name: nn.Linear(features, features) for name in ("query", "key", "value", "out")})
        self.scores = Scores()

    def forward(self, query, key, value):
        q, k, v = (self.project[n](x).view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)
                   for n, x in (("query", query), ("key", key), ("value", value)))
        attention = torch.softmax(self.scores(q, k, None), dim=-1)
        return self.project["out"]((attention @ v).transpose(1, 2).reshape(query.shape)), attention
