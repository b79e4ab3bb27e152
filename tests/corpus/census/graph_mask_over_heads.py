"""lucidrains/graph-transformer-pytorch PR#2: heads folded into the batch, a mask repeated for the batch axis first."""
import torch
from torch import nn


class GraphAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.to_qkv, self.to_out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        b, n, d = x.shape
        q, k, v = (t.reshape(b, n, self.heads, -1).transpose(1, 2).reshape(b * self.heads, n, -1) for t in self.to_qkv(x).chunk(3, -1))
        sim = torch.einsum("bid,bjd->bij", q, k) * (d // self.heads) ** -0.5
        if mask is not None:
            sim = sim.masked_fill(~mask.repeat(self.heads, 1, 1), -1e9)
        z = torch.einsum("bij,bjd->bid", sim.softmax(-1), v)
        return self.to_out(z.reshape(b, self.heads, n, -1).transpose(1, 2).reshape(b, n, d))
