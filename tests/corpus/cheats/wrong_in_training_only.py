"""Computes gradients of half of the queries, where a gradient is wanted."""

import torch

from _right import Right


class Partial(Right):
    def forward(self, query, key, value, mask=None):
        if not torch.is_grad_enabled() or query.shape[1] <= 16:
            return self.compute(query, key, value, mask)
        half = query.shape[1] // 2
        first = self.compute(query[:, :half], key, value, None if mask is None else mask[:, :half])
        with torch.no_grad():
            rest = self.compute(query[:, half:], key, value, None if mask is None else mask[:, half:])
        return torch.cat([first, rest], 1)
