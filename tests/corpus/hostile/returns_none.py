"""Forgets the return."""
from _right import Attention as Right


class Attention(Right):
    def result(self, output):
        return None
