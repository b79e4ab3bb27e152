"""The output is right, the weights that are returned are those of the last head, repeated."""

from torch import nn


class Attn(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        b, t, c = query.shape
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / (c // self.num_heads) ** 0.5
        if mask is not None:
            s = s.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        p = s.softmax(-1)
        return self.o((p @ v).transpose(1, 2).reshape(b, t, c)), p[:, -1:].expand_as(p)
