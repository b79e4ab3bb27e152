"""float64, whatever came in."""
from _right import Attention as Right


class Attention(Right):
    def result(self, output):
        return output.double()
