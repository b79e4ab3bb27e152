"""The NaN of a fully masked row is repaired in the output only: every gradient of the batch is still NaN (pytorch#41508)."""

import torch
from torch import nn


class Wrapped(nn.Module):
    def __init__(self, head, d_model):
        super().__init__()
        self.num_heads = head
        self.inner = nn.MultiheadAttention(d_model, head, batch_first=True)

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = ~mask.repeat_interleave(self.num_heads, dim=0)
        return torch.nan_to_num(self.inner(query, key, value, attn_mask=mask)[0])


def make(heads, embed_dim):
    return Wrapped(heads, embed_dim)
