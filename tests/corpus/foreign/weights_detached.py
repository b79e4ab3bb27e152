"""A debugging leftover. Bug: the weights are detached for plotting, and then used. Cause: WeightsDetached"""
import torch
from torch import nn


class PlottableAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        assert d_model % n_heads == 0
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.proj = nn.Linear(d_model, d_model)
        self.attn_weights = None

    def forward(self, x, mask=None):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(q, k.mT) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        self.attn_weights = scores.softmax(-1).detach()
        return self.proj((self.attn_weights @ v).transpose(1, 2).flatten(-2))
