"""Pretends that somebody pressed Ctrl-C."""
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        raise KeyboardInterrupt
