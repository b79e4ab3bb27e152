"""A softmax of one's own. Bug: an epsilon in the denominator. Cause: EpsilonInSum"""
import torch
from torch import nn


class SafeSoftmaxAttention(nn.Module):
    def __init__(self, embed_size, heads):
        super().__init__()
        assert embed_size % heads == 0
        self.heads = heads
        self.values, self.keys, self.queries, self.fc_out = (nn.Linear(embed_size, embed_size) for _ in range(4))

    def forward(self, values, keys, query, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)) for f, x in ((self.queries, query), (self.keys, keys), (self.values, values)))
        energy = torch.einsum("nqhd,nkhd->nhqk", q, k) / q.size(-1) ** 0.5
        if mask is not None:
            energy = energy.masked_fill(mask[:, None] == 0, -1e20)
        e = (energy - energy.max(-1, keepdim=True).values).exp()
        attention = e / (e.sum(-1, keepdim=True) + 1e-6)
        return self.fc_out(torch.einsum("nhql,nlhd->nqhd", attention, v).flatten(2))
