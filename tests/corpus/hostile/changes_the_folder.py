"""Leaves another working directory behind."""
import os

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os.chdir("/")
