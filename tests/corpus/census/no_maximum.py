"""ultralytics PR#24990 in spirit: exp without the maximum taken off overflows where scores are large."""
import torch


def attend(query, key, value, mask=None):
    e = torch.exp(query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5)
    if mask is not None:
        e = e * mask
    total = e.sum(-1, keepdim=True)
    w = e / torch.where(total == 0, 1.0, total)
    return w @ value, w
