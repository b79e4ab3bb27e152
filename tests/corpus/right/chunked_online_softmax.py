"""Keys in chunks, softmax on line: the running maximum, denominator and output are rescaled chunk by chunk."""

import torch
from torch import nn


class ChunkedAttention(nn.Module):
    def __init__(self, dim, num_heads=4, chunk=3):
        super().__init__()
        assert dim % num_heads == 0, "dim must be divisible by num_heads"
        self.h, self.chunk = num_heads, chunk
        self.wq, self.wk = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.wv, self.wo = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)

    def forward(self, q, k, v, mask=None):
        b, n, d = q.shape
        q, k, v = (
            w(x).view(b, -1, self.h, d // self.h).permute(0, 2, 1, 3) for w, x in ((self.wq, q), (self.wk, k), (self.wv, v))
        )
        top = q.new_full((b, self.h, n, 1), -torch.inf)
        total = q.new_zeros(b, self.h, n, 1)
        acc = torch.zeros_like(q)
        for start in range(0, k.shape[2], self.chunk):
            part = slice(start, start + self.chunk)
            s = (q / (d // self.h) ** 0.5) @ k[:, :, part].transpose(2, 3)
            if mask is not None:
                s = s.masked_fill(mask[:, None, :, part] == 0, -torch.inf)
            new = torch.maximum(top, s.amax(-1, keepdim=True))
            safe = torch.where(new == -torch.inf, 0.0, new)
            p, shrink = torch.exp(s - safe), torch.exp(top - safe)
            total, acc, top = total * shrink + p.sum(-1, keepdim=True), acc * shrink + p @ v[:, :, part], new
        z = acc / total.masked_fill(total == 0, 1.0)  # not where(total > 0, acc / total, 0): that has NaN gradients
        return self.wo(z.permute(0, 2, 1, 3).reshape(b, n, d))
