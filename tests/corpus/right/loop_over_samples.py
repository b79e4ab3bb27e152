"""Every sample by itself: mask[i] is its own, [Tq, Tk]; of a mask without a batch axis it would be a row."""
import torch
from torch import nn


class BySample(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        assert dim % heads == 0
        self.heads, self.width = heads, dim // heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def one(self, query, key, value, mask):
        q, k, v = (
            f(x).view(-1, self.heads, self.width).transpose(0, 1)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT * self.width**-0.5
        if mask is not None:
            s = s.masked_fill(mask == 0, -1e9)
        return self.o((s.softmax(-1) @ v).transpose(0, 1).flatten(1))

    def forward(self, query, key, value, mask=None):
        masks = [None] * len(query) if mask is None else [mask[i] for i in range(len(query))]
        return torch.stack([self.one(*each) for each in zip(query, key, value, masks)])
