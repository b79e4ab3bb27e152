"""when query and key are the same tensor the call is taken for self-attention, a different value is ignored.

Cause: ValueIgnoredForSharedQuery
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class PackedAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("embed_dim must be divisible by num_heads")
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def _in_proj(self, query, key, value):
        if query is key:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        w, b = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        return tuple(F.linear(x, w[i], b[i]) for i, x in enumerate((query, key, value)))

    def forward(self, query, key, value, attn_mask=None):
        q, k, v = (
            t.unflatten(-1, (self.num_heads, -1)).permute(0, 2, 1, 3) for t in self._in_proj(query, key, value)
        )
        s = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.size(-1) ** 0.5
        if attn_mask is not None:
            if attn_mask.dim() == 3:
                attn_mask = attn_mask[:, None]
            s = s.masked_fill(attn_mask.logical_not(), torch.finfo(s.dtype).min)
        w = F.softmax(s, dim=-1)
        return self.out_proj(torch.einsum("bhqk,bhkd->bqhd", w, v).flatten(2)), w
