"""Folding by view. Bug: no transpose before the batch swallows the heads, and none after. Cause: HeadsFoldedByView"""
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, model_dim, num_heads, dropout=0.0):
        super().__init__()
        assert model_dim % num_heads == 0
        self.dim_per_head, self.num_heads = model_dim // num_heads, num_heads
        self.linear_k, self.linear_v, self.linear_q, self.linear_final = (nn.Linear(model_dim, model_dim) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, key, value, query, attn_mask=None):
        n = query.size(0)
        key, value, query = (f(x).view(n * self.num_heads, -1, self.dim_per_head)
                             for f, x in ((self.linear_k, key), (self.linear_v, value), (self.linear_q, query)))
        attention = torch.bmm(query, key.transpose(1, 2)) * self.dim_per_head**-0.5
        if attn_mask is not None:
            attention = attention.masked_fill(~attn_mask.repeat_interleave(self.num_heads, 0), -1e9)
        context = torch.bmm(self.dropout(torch.softmax(attention, 2)), value)
        return self.linear_final(context.view(n, -1, self.dim_per_head * self.num_heads))
