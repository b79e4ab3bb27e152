"""HF style mask bias. Bug: the bias is -10, far too weak. Cause: FillAddedOfTen"""
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, config_dim, heads):
        super().__init__()
        if config_dim % heads:
            raise ValueError(f"{config_dim} features for {heads} heads")
        self.heads, self.head_dim = heads, config_dim // heads
        self.in_proj = nn.Linear(config_dim, 3 * config_dim, bias=False)
        self.out_proj = nn.Linear(config_dim, config_dim, bias=False)

    def forward(self, hidden_states, attention_mask=None):
        b, t, d = hidden_states.shape
        q, k, v = self.in_proj(hidden_states).view(b, t, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        bias = 0.0
        if attention_mask is not None:
            bias = (~attention_mask).to(q.dtype).unsqueeze(1).mul(-10.0)
        probs = (q.mul(self.head_dim**-0.5) @ k.mT + bias).softmax(-1)
        return self.out_proj((probs @ v).permute(0, 2, 1, 3).flatten(2))


def make(head, d_model):
    return Attention(d_model, head)
