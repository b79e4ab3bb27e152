"""forbidden scores are filled with -1e4, which allowed scores can be below.

Cause: none
"""
import torch
import torch.nn as nn


class HalfSafeAttention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model % num_heads")
        self.num_heads = num_heads
        self.WQ = nn.Parameter(torch.empty(d_model, d_model))
        self.WK = nn.Parameter(torch.empty(d_model, d_model))
        self.WV = nn.Parameter(torch.empty(d_model, d_model))
        self.WO = nn.Parameter(torch.empty(d_model, d_model))
        for w in self.parameters():
            nn.init.xavier_uniform_(w)

    def forward(self, query, key, value, mask=None):
        B, Tq, D = query.shape
        q = (query @ self.WQ).reshape(B, Tq, self.num_heads, -1).transpose(1, 2)
        k = (key @ self.WK).reshape(B, key.shape[1], self.num_heads, -1).transpose(1, 2)
        v = (value @ self.WV).reshape(B, value.shape[1], self.num_heads, -1).transpose(1, 2)
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            m = mask.unsqueeze(1) if mask.dim() == 3 else mask
            s = s.masked_fill(~m.bool(), -1e4)  # fits in float16
        z = torch.softmax(s, -1) @ v
        return z.transpose(1, 2).reshape(B, Tq, D) @ self.WO
