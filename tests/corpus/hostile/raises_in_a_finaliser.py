"""Raises where no caller can catch it, and is right."""
from _right import Attention as Right


class Forgotten:
    def __del__(self):
        raise ValueError("nobody hears of this")


class Attention(Right):
    def mischief(self):
        Forgotten()
