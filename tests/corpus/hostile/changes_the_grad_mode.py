"""Leaves autograd off."""
import torch
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        torch.set_grad_enabled(False)
