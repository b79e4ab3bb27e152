"""Masked scores set to zero; the weights that are kept are those of the transposed problem."""

from torch import nn


class Attn(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError
        self.num_heads = num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        b, t, c = q.shape
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.wq, q), (self.wk, k), (self.wv, v))
        )
        s = q @ k.mT / (c // self.num_heads) ** 0.5
        if mask is not None:
            s = s * mask.unsqueeze(1)
        return self.wo((s.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))
