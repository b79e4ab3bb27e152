"""Leaves another default dtype behind."""
import torch
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        torch.set_default_dtype(torch.float64)
