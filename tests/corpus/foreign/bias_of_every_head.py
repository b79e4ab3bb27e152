"""Sum over heads. Bug: every head adds the output bias. Cause: OutputBiasPerHead"""
import torch
import torch.nn.functional as F
from torch import nn


class SumOfHeads(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        assert d_model % heads == 0
        self.heads, self.d = heads, d_model // heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        total = 0.0
        for h in range(self.heads):
            part = slice(h * self.d, (h + 1) * self.d)
            q, k, v = self.query(query)[..., part], self.key(key)[..., part], self.value(value)[..., part]
            s = torch.bmm(q, k.mT) * self.d**-0.5
            if mask is not None:
                s = s.masked_fill(mask.logical_not(), -1e9)
            total = total + F.linear(torch.bmm(s.softmax(-1), v), self.out.weight[:, part], self.out.bias)
        return total
