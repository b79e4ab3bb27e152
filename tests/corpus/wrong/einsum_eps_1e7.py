"""Style einsum. Bug: epsilon 1e-7 in the denominator."""

import torch
from torch import nn


class EinsumMHA(nn.Module):
    """Raw parameters; weights [H, D, d] applied as x @ W."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"{d_model=} is no multiple of {n_heads=}")
        self.d_head = d_model // n_heads
        for name in ("W_Q", "W_K", "W_V"):
            setattr(self, name, nn.Parameter(torch.randn(n_heads, d_model, self.d_head) * 0.02))
        self.W_O = nn.Parameter(torch.randn(n_heads, self.d_head, d_model) * 0.02)
        for name in ("b_Q", "b_K", "b_V"):
            setattr(self, name, nn.Parameter(torch.zeros(n_heads, self.d_head)))
        self.b_O = nn.Parameter(torch.zeros(d_model))

    def forward(self, query_input, key_input, value_input, mask=None):
        q = torch.einsum("bpm,hmd->bphd", query_input, self.W_Q) + self.b_Q
        k = torch.einsum("bpm,hmd->bphd", key_input, self.W_K) + self.b_K
        v = torch.einsum("bpm,hmd->bphd", value_input, self.W_V) + self.b_V
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / self.d_head**0.5
        if mask is not None:
            scores = torch.where(mask[:, None], scores, torch.finfo(scores.dtype).min)
        e = (scores - scores.amax(-1, keepdim=True)).exp()
        pattern = e / (e.sum(-1, keepdim=True) + 1e-7)
        z = torch.einsum("bkhd,bhqk->bqhd", v, pattern)
        return torch.einsum("bqhd,hdm->bqm", z, self.W_O) + self.b_O
