"""The large-model style: softmax in float32 whatever the dtype, an additive -inf mask made inside, head_dim given."""

import math

import torch
from torch import nn


class ModelAttention(nn.Module):
    def __init__(self, hidden_size, num_heads, head_dim=64):
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim = num_heads, head_dim
        self.q_proj = nn.Linear(hidden_size, inner, bias=False)
        self.k_proj = nn.Linear(hidden_size, inner, bias=False)
        self.v_proj = nn.Linear(hidden_size, inner, bias=False)
        self.o_proj = nn.Linear(inner, hidden_size, bias=False)

    def forward(self, hidden_states, encoder_hidden_states=None, attention_mask=None, output_attentions=False):
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        b, t, _ = hidden_states.shape
        q = self.q_proj(hidden_states).view(b, t, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(source).view(b, -1, self.num_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(source).view(b, -1, self.num_heads, self.head_dim).transpose(1, 2)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        if attention_mask is not None:
            scores = scores + (1.0 - attention_mask.unsqueeze(1).to(scores.dtype)) * torch.finfo(torch.float32).min / 2
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        out = self.o_proj((weights @ v).transpose(1, 2).reshape(b, t, -1))
        return (out, weights) if output_attentions else (out, None)
