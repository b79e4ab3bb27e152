"""Interpretability patch. Bug: the mean over heads is what is mixed with. Cause: WeightsAveragedInside"""
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        p = s.softmax(-1).mean(dim=1, keepdim=True)
        return self.o((p @ v).transpose(1, 2).flatten(2))
