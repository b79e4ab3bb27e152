"""Leaves hardly any stack to whoever calls."""
import sys

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        sys.setrecursionlimit(10)
