"""lsdefine/attention-is-all-you-need-keras#36: heads are folded head-major, the mask is repeated sample by sample."""
import torch
from torch import nn


class FoldedHeads(nn.Module):
    def __init__(self, d_model, n_head):
        super().__init__()
        assert d_model % n_head == 0
        self.n_head = n_head
        self.qs, self.ks, self.vs, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        b, h = q.size(0), self.n_head
        q, k, v = (torch.cat(f(x).chunk(h, -1), 0) for f, x in ((self.qs, q), (self.ks, k), (self.vs, v)))
        s = torch.bmm(q, k.mT) / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask.repeat_interleave(h, 0), -1e9)
        return self.w_o(torch.cat(torch.bmm(s.softmax(-1), v).split(b, 0), -1))
