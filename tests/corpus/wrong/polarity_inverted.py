"""(d) True blocks instead of allowing, packed self-attention."""

import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads):
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        self.num_attention_heads = num_attention_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states, attention_mask=None):
        b, t, c = hidden_states.shape
        q, k, v = (x.view(b, t, self.num_attention_heads, -1).transpose(1, 2) for x in self.qkv(hidden_states).chunk(3, dim=-1))
        scores = q @ k.transpose(-1, -2) / (c // self.num_attention_heads) ** 0.5
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask.bool().unsqueeze(1), torch.finfo(scores.dtype).min)
        return self.dense((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))
