"""Kernel wrapper style. Bug: the reciprocal was taken twice. Cause: ScaleMultiplied"""
import torch


def flash_like(q, k, v, mask=None, softmax_scale=None):
    scale = softmax_scale or 1.0 / q.shape[-1] ** -0.5
    s = torch.baddbmm(q.new_zeros(1), q.flatten(0, 1), k.flatten(0, 1).mT, beta=0.0, alpha=scale).unflatten(0, q.shape[:2])
    if mask is not None:
        s = s + torch.zeros_like(mask, dtype=s.dtype).masked_fill(~mask, -1e30)
    p = torch.exp(s - torch.logsumexp(s, dim=-1, keepdim=True))
    return p @ v
