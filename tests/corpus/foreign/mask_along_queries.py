"""Padding given by key. Bug: the padding is laid along the queries. Cause: MaskTransposed"""
from torch import nn


class Encoder(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        assert d_model % heads == 0
        self.heads = heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        s = q @ k.mT * q.size(-1) ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None, :, None], -1e9)
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
