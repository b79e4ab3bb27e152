"""A right module, from which the hostile ones next to it differ in what else they do."""
import torch
from torch import nn


LATE = 50  # a few more calls than loading makes; what is hostile waits until it is judged


class Attention(nn.Module):
    total = 0

    def __init__(self, d_model, heads):
        super().__init__()
        if d_model % heads:
            raise ValueError("d_model must be a multiple of heads")
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        type(self).total += 1  # each subject counts for itself, also where there are others
        if self.total > LATE:
            self.mischief()
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = (q * q.size(-1) ** -0.5) @ k.mT
        if mask is not None:
            s = s.masked_fill(~mask[:, None].bool(), torch.finfo(s.dtype).min)
        output = self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return self.result(output) if self.total > LATE else output

    def mischief(self):
        pass

    def result(self, output):
        return output
