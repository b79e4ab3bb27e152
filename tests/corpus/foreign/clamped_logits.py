"""Stabilised style. Bug: logits are clipped at 50. Cause: ScoresClamped"""
from torch import nn


class StableAttention(nn.Module):
    def __init__(self, hidden_size, heads):
        super().__init__()
        assert hidden_size % heads == 0
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(4))

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = (f(t).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, t in ((self.to_q, x), (self.to_k, context), (self.to_v, context)))
        sim = (q @ k.mT * q.size(-1) ** -0.5).clamp(min=-50, max=50)
        if mask is not None:
            sim = sim.masked_fill(~mask[:, None], -1e9)
        return self.to_out((sim.softmax(-1) @ v).transpose(1, 2).flatten(2))
