"""Separate layers by name. Bug: a copied line projects queries with the key layer. Cause: QueryThroughKeyMap"""
import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.o_proj = nn.Linear(dim, dim)

    def _heads(self, t):
        return torch.stack(t.chunk(self.num_heads, dim=-1), dim=1)

    def forward(self, q, k, v, mask=None):
        qh, kh, vh = self._heads(self.k_proj(q)), self._heads(self.k_proj(k)), self._heads(self.v_proj(v))
        logits = torch.einsum("bhid,bhjd->bhij", qh, kh) / qh.shape[-1] ** 0.5
        if mask is not None:
            logits = torch.where(mask[:, None], logits, torch.full_like(logits, -1e9))
        z = torch.einsum("bhij,bhjd->bhid", logits.softmax(-1), vh)
        return self.o_proj(torch.cat(z.unbind(1), dim=-1))
