"""einops style without einops. Bug: split as (d h), merged as (h d). Cause: HeadsInterleaved"""
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, heads=8):
        super().__init__()
        assert dim % heads == 0
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.norm_fact = 1.0
        self.to_qkv = nn.Linear(dim, dim * 3, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Identity())

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2) for t in self.to_qkv(x).chunk(3, dim=-1))
        dots = q @ k.transpose(-1, -2) * self.scale
        return self.to_out((dots.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
