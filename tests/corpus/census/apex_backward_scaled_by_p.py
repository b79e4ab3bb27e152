"""NVIDIA/apex PR#816: dropout's backward pass scales by p instead of 1 / (1 - p)."""
import torch
from torch import nn


class FusedDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        keep = (torch.rand_like(x) >= p).to(x.dtype)
        ctx.save_for_backward(keep)
        ctx.p = p
        return x * keep / (1 - p)

    @staticmethod
    def backward(ctx, g):
        (keep,) = ctx.saved_tensors
        return g * keep * ctx.p, None


class SelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.1):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.h, self.dropout = num_heads, dropout
        self.w_in, self.w_out = nn.Linear(embed_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None):
        q, k, v = (t.unflatten(-1, (self.h, -1)).transpose(1, 2) for t in self.w_in(x).chunk(3, -1))
        s = q @ k.mT / q.size(-1) ** 0.5
        w = (s if mask is None else s.masked_fill(~mask[:, None], -1e9)).softmax(-1)
        z = w @ v
        if self.training and self.dropout:
            z = FusedDropout.apply(z, self.dropout)
        return self.w_out(z.transpose(1, 2).flatten(2))
