"""awslabs/slapo PR#46: the packed projection is split per head, but its bias as if it were per role."""
import torch
import torch.nn.functional as F
from torch import nn


class Packed(nn.Module):
    def __init__(self, hidden_size, num_heads):
        super().__init__()
        assert hidden_size % num_heads == 0
        self.h = num_heads
        self.qkv_weight = nn.Parameter(torch.randn(3 * hidden_size, hidden_size) * hidden_size**-0.5)
        self.qkv_bias = nn.Parameter(torch.randn(3 * hidden_size))
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, mask=None):
        b, n, d = x.shape
        y = F.linear(x, self.qkv_weight).view(b, n, 3, self.h, -1)
        y = y + self.qkv_bias.view(self.h, 3, -1).transpose(0, 1)
        q, k, v = y.permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None]).transpose(1, 2).reshape(b, n, d))
