"""Works for a while."""
from _right import Attention as Right

CALLS = 0


class Attention(Right):
    def mischief(self):
        global CALLS
        CALLS += 1
        if CALLS >= 30:
            raise RuntimeError("worn out")
