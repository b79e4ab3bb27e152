"""reczoo/FuxiCTR#30: heads folded into the batch by view alone, so that they mix tokens."""
import torch
from torch import nn


class InterAct(nn.Module):
    def __init__(self, num_heads, embedding_dim):
        super().__init__()
        assert embedding_dim % num_heads == 0
        self.num_heads, self.d = num_heads, embedding_dim // num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(embedding_dim, embedding_dim, bias=False) for _ in range(4))

    def forward(self, query, key, value):
        b = query.size(0) * self.num_heads
        q, k, v = (w(x).view(b, -1, self.d) for w, x in ((self.W_q, query), (self.W_k, key), (self.W_v, value)))
        a = torch.bmm(q, k.transpose(1, 2)).div(self.d**0.5).softmax(-1)
        return self.W_o(torch.bmm(a, v).view(query.size(0), -1, self.num_heads * self.d))
