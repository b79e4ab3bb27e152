"""Packed per head: rows of the projection are ordered head, (q, k, v), feature; x @ W is written out."""

import math

import torch
from torch import nn


class InterleavedAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True):
        super().__init__()
        if d_model % n_heads:
            raise ValueError("d_model % n_heads != 0")
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.dense = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, hidden_states, attention_mask=None):
        batch, length, width = hidden_states.size()
        mixed = self.query_key_value(hidden_states).view(batch, length, self.n_heads, 3, width // self.n_heads)
        q, k, v = (mixed[..., i, :].transpose(1, 2) for i in range(3))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(width // self.n_heads)
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        context = torch.softmax(scores, dim=-1) @ v
        return self.dense(context.permute(0, 2, 1, 3).reshape(batch, length, width))
