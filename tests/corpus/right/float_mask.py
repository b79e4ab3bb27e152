"""Key padding only, as floating 0 and 1; one packed projection for key and value."""

from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, dim, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        inner = heads * dim_head
        self.heads, self.scale = heads, dim_head**-0.5
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, inner * 2, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout))

    def forward(self, x, context=None, mask=None):
        b, n, _ = x.shape
        context = x if context is None else context
        k, v = self.to_kv(context).chunk(2, dim=-1)
        q, k, v = (t.reshape(b, -1, self.heads, t.shape[-1] // self.heads).transpose(1, 2) for t in (self.to_q(x), k, v))
        sim = (q @ k.transpose(-1, -2)) * self.scale
        if mask is not None:
            sim = sim + (1 - mask[:, None, None, :]) * -1e9
        return self.to_out((sim.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, n, -1))
