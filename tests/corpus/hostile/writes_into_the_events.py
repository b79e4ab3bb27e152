"""Writes into every file that it finds open."""
import os

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        for fd in range(3, 40):
            try:
                os.write(fd, b"[]\n\xff{")
            except OSError:
                pass
        raise ValueError("and is wrong, too")
