"""Closes every file that is open, whoever has opened it."""
import os

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os.closerange(3, 256)
