"""Goes on in two processes."""
import os

from _right import LATE
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        if self.total == LATE + 1:
            os.fork()
