"""(b) Heads merged without transposing back, fused style."""

import torch
import torch.nn.functional as F
from torch import nn


class MHA(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("embed_dim must be a multiple of num_heads")
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None):
        b, t, c = query.shape
        q, k, v = (
            f(x).reshape(b, -1, self.num_heads, c // self.num_heads).transpose(1, 2)
            for f, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None].bool())
        return self.out_proj(z.reshape(b, t, c))
