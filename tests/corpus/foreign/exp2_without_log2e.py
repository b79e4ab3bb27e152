"""GPU habits. Bug: exp2 without the factor log2(e). Cause: BaseTwo"""
import torch


def attend(q, k, v, mask=None):
    s = (q @ k.mT) * q.size(-1) ** -0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    p = torch.exp2(s - s.amax(-1, keepdim=True))
    p = p / p.sum(-1, keepdim=True)
    return p @ v, p
