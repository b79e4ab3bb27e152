"""huggingface/pytorch-image-models PR#1978: SDPA is given dropout_p in eval mode too."""
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, dim, num_heads=8, attn_drop=0.0):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_drop).transpose(1, 2).flatten(2))
