"""A transformer block cut down to its attention. Bug: the skip connection stayed. Cause: Residual"""
import mhsa
from torch import nn


class AttentionBlock(nn.Module):
    mhsa_contract = mhsa.Contract(surroundings="none")

    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = (q @ k.transpose(-2, -1)) * (C // self.num_heads) ** -0.5
        if mask is not None:
            attn = attn.masked_fill(~mask.unsqueeze(1), -1e9)
        return x + self.proj((attn.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, N, C))
