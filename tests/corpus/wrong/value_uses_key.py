"""The value goes through the key's projection."""

from torch import nn


class Attn(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        b, t, c = query.shape
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.to_q, query), (self.to_k, key), (self.to_k, value))
        )
        s = q @ k.mT / (c // self.num_heads) ** 0.5
        if mask is not None:
            s = s.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        return self.to_out((s.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))
