"""Memory-saving style. Bug: keys are projected under no_grad. Cause: KeyDetached"""
import torch
import torch.nn.functional as F
from torch import nn


class CheapAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        split = lambda t: t.reshape(t.size(0), t.size(1), self.heads, -1).transpose(1, 2)
        with torch.no_grad():
            k = split(self.key(key))
        z = F.scaled_dot_product_attention(split(self.query(query)), k, split(self.value(value)), None if mask is None else mask[:, None])
        return self.out(z.transpose(1, 2).flatten(2))
