"""yield in place of return."""
from _right import Attention as Right


class Attention(Right):
    def result(self, output):
        return (x for x in output)
