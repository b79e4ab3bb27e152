"""Hand-written backward. Bug: the softmax's row sum is missing. Cause: RowSumForgotten"""
import torch
from torch import nn


class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores):
        p = torch.softmax(scores, -1)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, grad):
        (p,) = ctx.saved_tensors
        return grad * p


class KernelAttention(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        assert d_model % nhead == 0
        self.nhead = nhead
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).view(*x.shape[:2], self.nhead, -1).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        return self.o((Softmax.apply(s) @ v).transpose(1, 2).flatten(2))
