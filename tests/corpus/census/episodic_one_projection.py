"""MarcoMeter/episodic-transformer-memory-ppo PR#22: every head uses the first head's slice of the keys."""
import torch
from torch import nn


class MultiHead(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.h, self.d = num_heads, embed_dim // num_heads
        self.queries, self.keys, self.values, self.fc_out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).chunk(self.h, dim=-1) for f, x in ((self.queries, query), (self.keys, key), (self.values, value)))
        out = []
        for i in range(self.h):
            s = q[i] @ k[0].mT / self.d**0.5
            if mask is not None:
                s = s.masked_fill(mask == 0, -1e20)
            out.append(torch.softmax(s, -1) @ v[i])
        return self.fc_out(torch.cat(out, -1))
