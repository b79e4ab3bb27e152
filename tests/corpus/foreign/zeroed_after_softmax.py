"""Function style. Bug: masked after the softmax and not normalised again. Cause: MaskAfterSoftmax"""
import math
import torch


def scaled_dot_product(q, k, v, mask=None):
    attn_logits = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size()[-1])
    attention = torch.softmax(attn_logits, dim=-1)
    if mask is not None:
        attention = attention * mask.to(attention.dtype)
    return torch.matmul(attention, v), attention
