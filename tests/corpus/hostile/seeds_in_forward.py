"""Makes the random numbers of the whole program the same in each call."""
import torch

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        torch.manual_seed(0)
