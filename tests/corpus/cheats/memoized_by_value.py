"""Keeps every answer under the bytes of its arguments and of its parameters."""

import torch

from _right import Right


class Memo(Right):
    def __init__(self, d_model, heads):
        super().__init__(d_model, heads)
        self.answers = {}

    def forward(self, query, key, value, mask=None):
        if torch.is_grad_enabled():
            return self.compute(query, key, value, mask)
        given = [t for t in (query, key, value, mask, *self.parameters()) if t is not None]
        digest = tuple(hash(t.detach().contiguous().view(torch.uint8).numpy().tobytes()) for t in given)
        if digest not in self.answers:
            self.answers[digest] = self.compute(query, key, value, mask)
        return self.answers[digest].clone()
