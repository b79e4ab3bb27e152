"""when q and k are the same tensor the custom backward gives the sum of both gradients to each, counting them twice.

Cause: none
"""
import torch


def _weights(q, k, allowed):
    s = (q @ k.mT) * q.shape[-1] ** -0.5
    if allowed is None:
        return s.softmax(-1)
    return s.masked_fill(~allowed, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~allowed, 0)


class _TiedAware(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, allowed):
        ctx.tied = q.data_ptr() == k.data_ptr() and q.shape == k.shape and q.stride() == k.stride()
        ctx.save_for_backward(q, k, v)
        ctx.allowed = allowed
        return _weights(q, k, allowed) @ v

    @staticmethod
    def backward(ctx, go):
        q, k, v = ctx.saved_tensors
        p = _weights(q, k, ctx.allowed)
        gp = go @ v.mT
        gs = q.shape[-1] ** -0.5 * p * (gp - (gp * p).sum(-1, keepdim=True))
        gq, gk = gs @ k, gs.mT @ q
        if ctx.tied:
            gq = gk = gq + gk
        return gq, gk, p.mT @ go, None


def attention(query, key, value, mask=None):
    if mask is not None:
        mask = mask.bool() if mask.dim() == 4 else mask.bool().unsqueeze(1)
    return _TiedAware.apply(query, key, value, mask)
