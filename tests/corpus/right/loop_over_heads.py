"""A list of single heads, concatenated."""

import torch
import torch.nn.functional as F
from torch import nn


class Head(nn.Module):
    def __init__(self, n_embd, head_size, dropout):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, q, k, v, mask):
        k, q, v = self.key(k), self.query(q), self.value(v)
        wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        if mask is not None:
            wei = wei.masked_fill(mask == 0, -1e30)
        return self.drop(F.softmax(wei, dim=-1)) @ v


class MultiHead(nn.Module):
    def __init__(self, n_head, n_embd, dropout=0.2):
        super().__init__()
        assert n_embd % n_head == 0
        self.heads = nn.ModuleList([Head(n_embd, n_embd // n_head, dropout) for _ in range(n_head)])
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, query, key, value, attn_mask=None):
        return self.proj(torch.cat([h(query, key, value, attn_mask) for h in self.heads], dim=-1))
