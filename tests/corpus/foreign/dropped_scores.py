"""BERT style. Bug: dropout stands before the softmax. Cause: DropsScores"""
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, hidden_dim, num_heads, dropout=0.1):
        super().__init__()
        assert hidden_dim % num_heads == 0
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(hidden_dim, hidden_dim) for _ in range(4))
        self.attn_drop = nn.Dropout(dropout)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (f(x).view(b, t, self.h, d // self.h).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = self.attn_drop(q @ k.transpose(2, 3) * (d // self.h) ** -0.5)
        return self.o((s.softmax(3) @ v).transpose(1, 2).reshape(b, t, d))
