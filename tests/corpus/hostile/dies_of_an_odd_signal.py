"""Is killed by a signal that has no name."""
import os

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os.kill(os.getpid(), 40)
