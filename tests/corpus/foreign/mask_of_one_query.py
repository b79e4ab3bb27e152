"""Padding made square the wrong way. Bug: the first query's mask serves all. Cause: MaskOfTheFirstQuery"""
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        assert width % heads == 0
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width) for _ in range(4))

    def forward(self, query, key, value, attn_mask=None):
        q, k, v = (w(x).unflatten(2, (self.heads, -1)).movedim(2, 1) for w, x in ((self.wq, query), (self.wk, key), (self.wv, value)))
        if attn_mask is not None:
            attn_mask = attn_mask[:, None, :1, :]
        return self.wo(F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).movedim(1, 2).flatten(2))
