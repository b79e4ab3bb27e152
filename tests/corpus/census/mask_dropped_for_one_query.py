"""OpenNMT/OpenNMT-py PR#2532 in spirit: a single query, as in decoding, forgets the mask."""
import torch
import torch.nn.functional as F
from torch import nn


class Decoder(nn.Module):
    def __init__(self, model_dim, head_count):
        super().__init__()
        assert model_dim % head_count == 0
        self.head_count = head_count
        self.linear_query, self.linear_keys, self.linear_values, self.final_linear = (nn.Linear(model_dim, model_dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.head_count, -1)).transpose(1, 2) for f, x in ((self.linear_query, query), (self.linear_keys, key), (self.linear_values, value)))
        m = None if mask is None or query.size(1) == 1 else mask[:, None]
        return self.final_linear(F.scaled_dot_product_attention(q, k, v, m).transpose(1, 2).flatten(2))
