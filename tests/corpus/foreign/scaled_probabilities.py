"""A bracket in the wrong place. Bug: the probabilities are scaled. Cause: ScaleAfterSoftmax"""
import math
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, h):
        super().__init__()
        assert d_model % h == 0
        self.h, self.d_k = h, d_model // h
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        q, k, v = (f(x).view(x.size(0), -1, self.h, self.d_k).transpose(1, 2) for f, x in ((self.wq, q), (self.wk, k), (self.wv, v)))
        s = q @ k.transpose(-2, -1)
        if mask is not None:
            s = s.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        p = F.softmax(s, dim=-1) / math.sqrt(self.d_k)
        return self.wo((p @ v).transpose(1, 2).reshape(q.size(0), -1, self.h * self.d_k))
