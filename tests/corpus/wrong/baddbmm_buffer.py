"""Style baddbmm. Bug: output written to a buffer kept between calls."""

import torch
from torch import nn


class BaddbmmAttention(nn.Module):
    """Scores and additive mask in one baddbmm."""

    def __init__(self, hidden_size, n_head):
        super().__init__()
        self.num_heads = n_head
        self.head_dim = hidden_size // n_head
        if self.head_dim * n_head != hidden_size:
            raise ValueError("hidden_size must be divisible by n_head")
        self.inv_norm_factor = self.head_dim**-0.5
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)

    def _fold(self, x):
        b, t, _ = x.shape
        return x.view(b, t, self.num_heads, self.head_dim).transpose(1, 2).reshape(b * self.num_heads, t, self.head_dim)

    def forward(self, q, k, v, mask=None):
        b, t, c = q.shape
        q, k, v = self._fold(self.q_proj(q)), self._fold(self.k_proj(k)), self._fold(self.v_proj(v))
        bias = q.new_zeros(b * self.num_heads, t, k.shape[1])
        if mask is not None:
            bias = bias.view(b, self.num_heads, t, -1).masked_fill(mask.unsqueeze(1) == 0, -1e30).view_as(bias)
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), beta=1.0, alpha=self.inv_norm_factor)
        z = torch.bmm(scores.softmax(-1), v)
        out = self.dense(z.view(b, self.num_heads, t, self.head_dim).transpose(1, 2).reshape(b, t, c))
        if getattr(self, "buffer", None) is None or self.buffer.shape != out.shape:
            self.buffer = torch.empty_like(out)
        with torch.no_grad():
            self.buffer.copy_(out)
        return self.buffer
