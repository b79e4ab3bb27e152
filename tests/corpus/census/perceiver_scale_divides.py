"""esceptico/perceiver-io#9: d ** -0.5 is divided by, so the scores are multiplied by sqrt(d)."""
import torch
from torch import nn


class CrossAttend(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        if dim % heads:
            raise ValueError("dim must be a multiple of heads")
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x, context=None, mask=None):
        q = self.to_q(x).unflatten(-1, (self.heads, -1))
        k, v = (t.unflatten(-1, (self.heads, -1)) for t in self.to_kv(x if context is None else context).chunk(2, -1))
        logits = torch.einsum("bihd,bjhd->bhij", q, k) / self.scale
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None], -1e9)
        return self.to_out(torch.einsum("bhij,bjhd->bihd", logits.softmax(-1), v).flatten(2))
