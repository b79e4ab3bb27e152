"""Leaves just enough stack that no one call fails."""
import inspect
import sys

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        sys.setrecursionlimit(len(inspect.stack(0)) + 20)
