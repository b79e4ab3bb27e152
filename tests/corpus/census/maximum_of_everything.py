"""The maximum over all rows is taken off: rows far below it underflow, so their weights vanish."""
import torch
from torch import nn


class Shifted(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        assert d_model % heads == 0
        self.heads = heads
        self.in_proj, self.out_proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.in_proj(x).chunk(3, -1))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        e = torch.exp(s - s.max())
        return self.out_proj((e / e.sum(-1, keepdim=True).clamp(min=1e-300) @ v).transpose(1, 2).flatten(2))
