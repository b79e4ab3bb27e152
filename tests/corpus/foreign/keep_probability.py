"""TF habits. Bug: nn.Dropout is given the probability of keeping. Cause: KeepsWhatItShouldDrop"""
import torch
from torch import nn


class MultiHead(nn.Module):
    def __init__(self, num_units, num_heads, dropout_rate=0.1):
        super().__init__()
        assert num_units % num_heads == 0
        self.num_heads = num_heads
        self.Q, self.K, self.V, self.O = (nn.Linear(num_units, num_units) for _ in range(4))
        self.keep_prob = 1.0 - dropout_rate
        self.drop = nn.Dropout(self.keep_prob)

    def forward(self, queries, keys, values):
        h = self.num_heads
        q, k, v = (torch.stack(f(x).chunk(h, -1), 1) for f, x in ((self.Q, queries), (self.K, keys), (self.V, values)))
        w = torch.softmax(torch.matmul(q, k.transpose(2, 3)) / q.size(-1) ** 0.5, -1)
        return self.O(torch.cat(torch.matmul(self.drop(w), v).unbind(1), -1))


def make(head, d_model, dropout=0.1):
    return MultiHead(d_model, head, dropout)
