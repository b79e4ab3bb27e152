"""NLL habits. Bug: log_softmax. Cause: LogSoftmax"""
import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        assert n_embd % n_head == 0
        self.n_head = n_head
        self.query, self.key, self.value, self.proj = (nn.Linear(n_embd, n_embd) for _ in range(4))

    def forward(self, query, key, value):
        h = self.n_head
        q, k, v = (f(x).view(x.size(0), x.size(1), h, -1).permute(0, 2, 1, 3) for f, x in ((self.query, query), (self.key, key), (self.value, value)))
        a = F.log_softmax(torch.matmul(q, k.permute(0, 1, 3, 2)) / q.size(-1) ** 0.5, dim=-1)
        return self.proj(torch.matmul(a, v).permute(0, 2, 1, 3).flatten(2))
