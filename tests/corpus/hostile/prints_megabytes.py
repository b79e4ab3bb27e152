"""Prints some hundred kilobytes in each call, and is right."""
import sys

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        print("x" * 100_000)
        sys.stderr.write("y" * 100_000)
