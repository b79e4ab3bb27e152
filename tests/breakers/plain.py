"""A right module with a seam at every step; each breaker changes what happens at one of them."""
import math

import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self, num_heads, d_model, dropout=0.1):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads, self.d_k, self.rate = num_heads, d_model // num_heads, dropout
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        query, key, value, mask = self.given(query, key, value, mask)
        q, k, v = (self.split(f(x)) for f, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value)))
        q, k, v = self.heads(q, k, v)
        s = self.scores(q @ k.transpose(-2, -1) / math.sqrt(self.d_k), q, k)
        w = self.weights(self.softmax(s, mask), mask)
        z = self.mixed(self.drop(w) @ v, q, k, v, mask)
        out = self.done(self.w_o(z.transpose(1, 2).reshape(query.shape)), query, key, mask)
        return out, self.shown(w, s)

    def split(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, self.d_k).transpose(1, 2)

    def hidden(self, mask):
        return mask.unsqueeze(1) == 0

    def softmax(self, s, mask):
        if mask is not None:
            s = s.masked_fill(self.hidden(mask), -1e9)
        return torch.softmax(s, dim=-1)

    def drop(self, w):
        return nn.functional.dropout(w, self.rate, self.training)

    def given(self, query, key, value, mask):
        return query, key, value, mask

    def heads(self, q, k, v):
        return q, k, v

    def scores(self, s, q, k):
        return s

    def weights(self, w, mask):
        return w

    def mixed(self, z, q, k, v, mask):
        return z

    def done(self, out, query, key, mask):
        return out

    def shown(self, w, s):
        return w


def contiguous(x):
    """The numbers that lie next to each other in memory, taken for x."""
    strides = [math.prod(x.shape[i + 1 :]) for i in range(x.dim())]
    return x.as_strided(x.shape, strides)
