"""huggingface/diffusers#8837: the batch is processed in slices, floor division loses the last."""
import torch
from torch import nn


class Sliced(nn.Module):
    def __init__(self, dim, num_heads, slice_size=4):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads, self.slice_size = num_heads, slice_size
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x, context=None, mask=None):
        c = x if context is None else context
        q, k, v = (f(t).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, t in ((self.to_q, x), (self.to_k, c), (self.to_v, c)))
        z = torch.zeros_like(q)
        for i in range(max(q.size(0) // self.slice_size, 1)):
            part = slice(i * self.slice_size, (i + 1) * self.slice_size)
            s = q[part] @ k[part].mT * q.size(-1) ** -0.5
            if mask is not None:
                s = s.masked_fill(~mask[part, None], -1e9)
            z[part] = s.softmax(-1) @ v[part]
        return self.to_out(z.transpose(1, 2).flatten(2))
