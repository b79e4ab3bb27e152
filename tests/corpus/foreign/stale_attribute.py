"""in eval mode the attribute with the weights is only set by the first call and stale afterwards.

Cause: WeightsShownOnce
"""
import math
import torch
from torch import nn


class VisualisedAttention(nn.Module):
    def __init__(self, h, d_model, dropout=0.0):
        super().__init__()
        assert d_model % h == 0
        self.h, self.d_k = h, d_model // h
        self.linear_query = nn.Linear(d_model, d_model)
        self.linear_key = nn.Linear(d_model, d_model)
        self.linear_value = nn.Linear(d_model, d_model)
        self.linear_out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        self.attn = None

    def forward(self, query, key, value, mask=None):
        B = query.size(0)
        q = self.linear_query(query).view(B, -1, self.h, self.d_k).transpose(1, 2)
        k = self.linear_key(key).view(B, -1, self.h, self.d_k).transpose(1, 2)
        v = self.linear_value(value).view(B, -1, self.h, self.d_k).transpose(1, 2)
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(self.d_k)
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        attn = self.dropout(torch.softmax(scores, dim=-1))
        if self.training or self.attn is None or self.attn.shape != attn.shape:
            self.attn = attn
        x = torch.matmul(attn, v).transpose(1, 2).contiguous().view(B, -1, self.h * self.d_k)
        return self.linear_out(x)
