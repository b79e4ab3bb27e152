"""Two results. Bug: the second is the logits. Cause: ScoresShown"""
import torch
from torch import nn


class ExplainableAttention(nn.Module):
    def __init__(self, model_dim, num_heads):
        super().__init__()
        assert model_dim % num_heads == 0
        self.num_heads = num_heads
        self.lq, self.lk, self.lv, self.lo = (nn.Linear(model_dim, model_dim) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.lq, query), (self.lk, key), (self.lv, value)))
        attention = torch.einsum("bhqd,bhkd->bhqk", q, k).div(q.size(-1) ** 0.5)
        context = torch.einsum("bhqk,bhkd->bqhd", attention.softmax(-1), v)
        return self.lo(context.flatten(2)), attention
