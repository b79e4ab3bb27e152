"""PetrochukM/PyTorch-NLP#2: Softmax(dim=0), which is the batch."""
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dimensions, heads):
        super().__init__()
        assert dimensions % heads == 0
        self.heads = heads
        self.linear_q, self.linear_k, self.linear_v, self.linear_out = (nn.Linear(dimensions, dimensions, bias=False) for _ in range(4))
        self.softmax = nn.Softmax(dim=0)

    def forward(self, query, context):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in ((self.linear_q, query), (self.linear_k, context), (self.linear_v, context)))
        return self.linear_out((self.softmax(q @ k.mT / q.size(-1) ** 0.5) @ v).transpose(1, 2).flatten(2))


def make(heads, d_model):
    return Attention(d_model, heads)
