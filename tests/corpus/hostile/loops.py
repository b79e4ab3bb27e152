"""Never returns."""
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        while True:
            pass
