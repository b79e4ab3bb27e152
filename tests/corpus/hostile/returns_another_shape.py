"""[T, B, D]."""
from _right import Attention as Right


class Attention(Right):
    def result(self, output):
        return output.transpose(0, 1)
