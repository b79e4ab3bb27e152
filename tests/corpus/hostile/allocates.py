"""Takes memory without end."""
import torch
from _right import Attention as Right

KEPT = []


class Attention(Right):
    def mischief(self):
        while True:
            KEPT.append(torch.ones(2**24))
