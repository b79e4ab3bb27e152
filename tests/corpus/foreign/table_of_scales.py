"""the table of scales for common head sizes has a rounded entry for d_k = 32.

Cause: none
"""
import torch
from torch import nn

_SCALES = {16: 0.25, 32: 0.17677, 64: 0.125}


class TableScaleAttention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("num_heads must divide d_model")
        self.num_heads = num_heads
        d_k = d_model // num_heads
        self.scale = _SCALES.get(d_k, d_k**-0.5)
        self.query_layer = nn.Linear(d_model, d_model)
        self.key_layer = nn.Linear(d_model, d_model)
        self.value_layer = nn.Linear(d_model, d_model)
        self.output_layer = nn.Linear(d_model, d_model)

    def forward(self, query, key, value, mask=None):
        q = self.query_layer(query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k = self.key_layer(key).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        v = self.value_layer(value).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        s = q @ k.transpose(-1, -2) * self.scale
        if mask is not None:
            mask = mask[:, None] if mask.dim() == 3 else mask
            s = s.masked_fill(~mask.bool(), torch.finfo(s.dtype).min)
        return self.output_layer((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
