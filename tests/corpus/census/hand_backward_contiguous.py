"""Dao-AILab/flash-attention#355: a hand-written backward that reads the incoming gradient as if it were contiguous."""
import torch
from torch import nn


class Core(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, hidden):
        w = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(hidden, -1e9).softmax(-1)
        ctx.save_for_backward(q, k, v, w)
        return (w @ v).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx, g):
        q, k, v, w = ctx.saved_tensors
        b, h, n, d = q.shape
        g = g.as_strided((b, n, h, d), (n * h * d, h * d, d, 1)).transpose(1, 2)
        dp = g @ v.mT
        ds = w * (dp - (w * dp).sum(-1, keepdim=True)) / d**0.5
        return ds @ k, ds.mT @ q, w.mT @ g, None


class Flashy(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.o = nn.Parameter(torch.randn(dim, dim) * dim**-0.5)

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        if mask is None:
            mask = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool, device=query.device)
        z = Core.apply(q, k, v, ~mask[:, None])
        return torch.einsum("bnhd,hdo->bno", z, self.o.view(self.num_heads, -1, self.o.size(1)))
