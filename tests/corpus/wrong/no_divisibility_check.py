"""(f) No check of d_model % head, a list of single heads."""

import torch
from torch import nn


class Head(nn.Module):
    def __init__(self, n_embd, head_size):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size)
        self.query = nn.Linear(n_embd, head_size)
        self.value = nn.Linear(n_embd, head_size)

    def forward(self, q, k, v, mask):
        q, k, v = self.query(q), self.key(k), self.value(v)
        s = q @ k.mT * k.shape[-1] ** -0.5
        return (s if mask is None else s.masked_fill(mask == 0, -1e9)).softmax(-1) @ v


class MultiHead(nn.Module):
    def __init__(self, n_head, n_embd):
        super().__init__()
        self.heads = nn.ModuleList([Head(n_embd, n_embd // n_head) for _ in range(n_head)])
        self.proj = nn.Linear(n_head * (n_embd // n_head), n_embd)

    def forward(self, query, key, value, mask=None):
        return self.proj(torch.cat([h(query, key, value, mask) for h in self.heads], dim=-1))
