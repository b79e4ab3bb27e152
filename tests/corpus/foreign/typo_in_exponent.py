"""Style of a blog post. Bug: -1e-9 stands for -1e9. Cause: FillOfMinusFive"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class MHA(nn.Module):
    def __init__(self, emb_size, num_heads):
        super().__init__()
        assert emb_size % num_heads == 0, "emb_size must divide by num_heads"
        self.emb_size, self.num_heads = emb_size, num_heads
        self.keys = nn.Linear(emb_size, emb_size)
        self.queries = nn.Linear(emb_size, emb_size)
        self.values = nn.Linear(emb_size, emb_size)
        self.projection = nn.Linear(emb_size, emb_size)

    def forward(self, x, mask=None):
        b, n, _ = x.shape
        h = self.num_heads
        keys, queries, values = (f(x).reshape(b, n, h, -1).permute(0, 2, 1, 3) for f in (self.keys, self.queries, self.values))
        energy = torch.einsum("bhqd,bhkd->bhqk", queries, keys) / (self.emb_size // h) ** 0.5
        if mask is not None:
            energy = energy.masked_fill(mask.unsqueeze(1) == 0, -1e-9)
        att = F.softmax(energy, dim=-1)
        out = torch.einsum("bhal,bhlv->bhav", att, values)
        return self.projection(out.permute(0, 2, 1, 3).reshape(b, n, -1))
