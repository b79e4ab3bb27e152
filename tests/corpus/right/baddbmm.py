"""Batch and heads in one axis, the scale inside baddbmm, raw square matrices used as x @ W."""

import torch
from torch import nn


class BaddbmmAttention(nn.Module):
    def __init__(self, nhead, d_model):
        super().__init__()
        if d_model % nhead != 0:
            raise ValueError("d_model must be divisible by nhead")
        self.nhead = nhead
        self.Wq, self.Wk, self.Wv, self.Wo = (nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        b, tq, width = query.shape
        h, d = self.nhead, width // self.nhead

        def fold(x):
            return x.view(b, -1, h, d).transpose(1, 2).reshape(b * h, -1, d)

        q, k, v = fold(query @ self.Wq), fold(key @ self.Wk), fold(value @ self.Wv)
        bias = q.new_zeros(b, 1, tq, k.size(1))
        if mask is not None:
            bias = bias.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        bias = bias.expand(b, h, tq, k.size(1)).reshape(b * h, tq, k.size(1))
        weights = torch.baddbmm(bias, q, k.transpose(1, 2), beta=1.0, alpha=d**-0.5).softmax(dim=2)
        z = torch.bmm(weights, v).view(b, h, tq, d).permute(0, 2, 1, 3).reshape(b, tq, width)
        return z @ self.Wo
