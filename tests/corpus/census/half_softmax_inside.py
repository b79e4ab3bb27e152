"""pytorch/pytorch#163588 in spirit: weights are rounded to bfloat16 inside a module of full precision."""
import torch
from torch import nn


class Mixed(nn.Module):
    def __init__(self, dim, n_heads):
        super().__init__()
        assert dim % n_heads == 0
        self.n_heads = n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, context=None, mask=None):
        c = x if context is None else context
        q, k, v = (f(t).view(t.size(0), t.size(1), self.n_heads, -1).transpose(1, 2) for f, t in ((self.wq, x), (self.wk, c), (self.wv, c)))
        s = q @ k.transpose(2, 3) / q.size(-1) ** 0.5
        w = (s if mask is None else s.masked_fill(~mask[:, None], -1e9)).softmax(-1)
        return self.wo((w.to(torch.bfloat16).to(v.dtype) @ v).transpose(1, 2).flatten(2))
