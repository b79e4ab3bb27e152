"""Calls itself without end."""
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        self.mischief()
