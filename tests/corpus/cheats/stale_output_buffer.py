"""Writes every answer into one buffer, and hands that out."""

import torch

from _right import Right


class Buffered(Right):
    def __init__(self, d_model, heads):
        super().__init__(d_model, heads)
        self.kept = {}

    def forward(self, query, key, value, mask=None):
        if torch.is_grad_enabled():
            return self.compute(query, key, value, mask)
        kind = (query.shape, query.dtype)
        if kind not in self.kept:
            self.kept[kind] = torch.empty_like(query)
        return self.kept[kind].copy_(self.compute(query, key, value, mask))
