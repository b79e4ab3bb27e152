"""gazelle93/Transformer-Various-Positional-Encoding#1: [H, B, T, d] merged as if it were [B, H, T, d]."""
import torch
from torch import nn


class Heads(nn.Module):
    def __init__(self, emb_dim, num_heads):
        super().__init__()
        assert emb_dim % num_heads == 0
        d = emb_dim // num_heads
        self.wq = nn.ModuleList(nn.Linear(emb_dim, d) for _ in range(num_heads))
        self.wk = nn.ModuleList(nn.Linear(emb_dim, d) for _ in range(num_heads))
        self.wv = nn.ModuleList(nn.Linear(emb_dim, d) for _ in range(num_heads))
        self.wo = nn.Linear(emb_dim, emb_dim)

    def forward(self, query, key, value, mask=None):
        out = []
        for a, b, c in zip(self.wq, self.wk, self.wv):
            q, k, v = a(query), b(key), c(value)
            s = q @ k.mT / q.size(-1) ** 0.5
            out.append((s if mask is None else s.masked_fill(~mask, -1e9)).softmax(-1) @ v)
        z = torch.stack(out)
        return self.wo(z.view(query.size(0), len(out), query.size(1), -1).transpose(1, 2).reshape(query.shape))
