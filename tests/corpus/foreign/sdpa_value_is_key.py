"""A slip in the call. Bug: SDPA is given keys for values' input. Cause: ValuesFromKeys"""
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q_lin, self.k_lin, self.v_lin, self.out_lin = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = self.q_lin(query), self.k_lin(key), self.v_lin(key) + 0.0 * self.v_lin(value)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
        return self.out_lin(F.scaled_dot_product_attention(q, k, v, mask if mask is None else mask[:, None]).transpose(1, 2).flatten(2))
