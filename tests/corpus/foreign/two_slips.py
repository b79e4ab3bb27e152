"""Two bugs at once: no scale, and the mask is added as a number. Cause: none"""
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        s = q @ k.mT
        if mask is not None:
            s = s + mask[:, None]
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
