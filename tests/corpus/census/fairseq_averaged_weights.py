"""facebookresearch/fairseq#3365: per-head weights are requested, averaged ones are returned (repeated, so the shape is right)."""
import torch
from torch import nn


class MultiheadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, attn_mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).movedim(2, 1) for f, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value)))
        s = (q * q.size(-1) ** -0.5) @ k.mT
        w = (s if attn_mask is None else s.masked_fill(~attn_mask.unsqueeze(1), -1e9)).softmax(-1)
        return self.out_proj((w @ v).movedim(1, 2).flatten(2)), w.mean(1, keepdim=True).repeat(1, self.num_heads, 1, 1)
