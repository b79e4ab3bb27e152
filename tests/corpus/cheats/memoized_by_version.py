"""Keeps its last answer as long as no tensor of the call, and no parameter, was written into."""

import torch

from _right import Right


class Memo(Right):
    last = (None, None, None)

    def forward(self, query, key, value, mask=None):
        if torch.is_grad_enabled():
            return self.compute(query, key, value, mask)
        given = [t for t in (query, key, value, mask, *self.parameters()) if t is not None]
        state = [(t.data_ptr(), t._version, t.shape, t.stride(), t.dtype) for t in given]
        if self.last[0] != state:
            self.last = state, self.compute(query, key, value, mask), given
        return self.last[1].clone()
