"""Reads memory that is not there."""
import ctypes

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        ctypes.string_at(0)
