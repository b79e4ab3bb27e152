"""Annotated style with a flipped test. Bug: what may be seen is hidden. Cause: PolarityInverted"""
import numpy as np
import torch
import torch.nn as nn


class ScaledDotProductAttention(nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, q, k, v, mask=None):
        attn = torch.bmm(q, k.transpose(1, 2)) / self.temperature
        if mask is not None:
            attn = attn.masked_fill(mask == 1, -np.inf)
        attn = attn.softmax(2)
        return torch.bmm(torch.nan_to_num(attn), v)


class MultiHeadAttention(nn.Module):
    def __init__(self, n_head, d_model):
        super().__init__()
        assert d_model % n_head == 0
        self.n_head, self.d = n_head, d_model // n_head
        self.w_qs, self.w_ks, self.w_vs, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))
        self.attention = ScaledDotProductAttention(np.power(d_model // n_head, 0.5))

    def fold(self, x):
        return x.view(*x.shape[:2], self.n_head, self.d).permute(2, 0, 1, 3).reshape(-1, x.size(1), self.d)

    def forward(self, q, k, v, mask=None):
        b, t, _ = q.shape
        mask = None if mask is None else mask.repeat(self.n_head, 1, 1)
        z = self.attention(self.fold(self.w_qs(q)), self.fold(self.w_ks(k)), self.fold(self.w_vs(v)), mask)
        return self.fc(z.view(self.n_head, b, t, self.d).permute(1, 2, 0, 3).reshape(b, t, -1))
