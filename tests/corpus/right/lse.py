import torch
from torch import nn


class LSEAttention(nn.Module):
    """softmax(s) = exp(s - logsumexp(s))"""

    def __init__(self, dim, heads):
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.Wq = nn.Linear(dim, dim)
        self.Wk = nn.Linear(dim, dim)
        self.Wv = nn.Linear(dim, dim)
        self.Wo = nn.Linear(dim, dim)

    def forward(self, query, key, value, mask=None):
        b, n, d = query.shape
        q = self.Wq(query).view(b, n, self.heads, -1).transpose(1, 2)
        k = self.Wk(key).view(b, key.shape[1], self.heads, -1).transpose(1, 2)
        v = self.Wv(value).view(b, value.shape[1], self.heads, -1).transpose(1, 2)
        s = q @ k.mT / (d / self.heads) ** 0.5
        if mask is not None:
            s = torch.where(mask.unsqueeze(1).bool(), s, float("-inf"))
        lse = torch.logsumexp(s, -1, keepdim=True)
        lse = lse.masked_fill(lse == float("-inf"), 0.0)
        p = torch.exp(s - lse)
        return self.Wo((p @ v).transpose(1, 2).reshape(b, n, d)), p, lse.squeeze(-1)
