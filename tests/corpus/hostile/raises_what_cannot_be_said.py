"""Raises an error that has no words."""
from _right import Attention as Right


class Wordless(Exception):
    def __str__(self):
        raise self


class Attention(Right):
    def mischief(self):
        raise Wordless
