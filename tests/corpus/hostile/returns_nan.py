"""All is NaN."""
from _right import Attention as Right


class Attention(Right):
    def result(self, output):
        return output * float("nan")
